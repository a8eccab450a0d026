import json
import pathlib

import pytest
import tensorflow as tf
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from benchmarks import end_state
from benchmarks.end_state import EndState
from components.shared import records
from pipeline.paths import Paths
from tests.fake_mlmd import FakeMlmd, sqlite_connection

WEIGHT = "weight/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def paths(tmp_path) -> Paths:
    """A root in which one step succeeded, and a model was pushed."""
    mlmd = FakeMlmd(MetadataStore(sqlite_connection(tmp_path)))
    written = tmp_path / "model"
    written.mkdir()
    (written / "saved_model.pb").write_text("a")
    model = mlmd.artifact("Model", str(written), decision="blessed")
    assert mlmd.execute("Exporter", {}, {"model": model}) == 1
    mlmd.artifact("ModelEvaluation", decision=records.UNCHANGED)
    mlmd.artifact("captions.Predictions", str(tmp_path / "empty"))  # of that evaluation
    mlmd.artifact("PushedModel", str(written))
    paths = Paths(str(tmp_path))
    summary = dict.fromkeys(end_state.RESULTS) | {"metrics": {"bleu_4": 0.5}, "decision": "blessed"}
    pathlib.Path(paths.summary).write_text(json.dumps(summary))
    for directory in (
        pathlib.Path(paths.serving) / "17",
        pathlib.Path(paths.artifacts) / "Exporter" / "model" / "1",
        pathlib.Path(paths.artifacts) / "Exporter" / ".system" / "executor_execution" / "1",
        pathlib.Path(paths.artifacts) / "Exporter" / ".system" / "stateful_working_dir",
        pathlib.Path(paths.checkpoints),
        pathlib.Path(paths.feature_store) / "0f",
    ):
        directory.mkdir(parents=True)
    write_model(pathlib.Path(paths.serving) / "17", weight=1.0)
    return paths


def write_model(directory: pathlib.Path, weight: float) -> None:
    tf.train.Checkpoint(weight=tf.Variable(weight)).write(str(directory / "variables" / "variables"))
    (directory / "assets").mkdir()
    (directory / "assets" / "vocabulary.txt").write_text("a")
    (directory / "saved_model.pb").write_text(f"as it was written at {directory}")


def test_equal_roots_have_no_differences(paths):
    state = end_state.read(paths.root)
    assert state.differences(end_state.read(paths.root)) == []
    assert state.num_artifacts == {"Model": 1, "served versions": 1}
    assert state.model.keys() == {WEIGHT, "assets/vocabulary.txt"}


def test_what_differs_is_named(paths):
    before = end_state.read(paths.root)
    write_model(pathlib.Path(paths.serving) / "18", weight=2.0)
    summary = json.loads(pathlib.Path(paths.summary).read_text()) | {"metrics": {"bleu_4": 0.4}}
    pathlib.Path(paths.summary).write_text(json.dumps(summary))
    assert end_state.read(paths.root).differences(before) == ["metrics", WEIGHT, "served versions"]


def test_a_missing_file_differs():
    assert EndState({}, {"a": "0"}, {}).differences(EndState({}, {}, {})) == ["a"]


def test_an_undisturbed_root_has_no_leftovers(paths):
    assert end_state.leftovers(paths.root) == []


def test_leftovers_are_found(paths):
    mlmd = FakeMlmd(MetadataStore(sqlite_connection(paths.root)))
    running = mlmd.execute("Trainer", {}, {}, state=metadata_store_pb2.Execution.RUNNING)
    left = [
        f"artifacts/Trainer/.system/executor_execution/{running}",
        "artifacts/Trainer/.system/stateful_working_dir/0a",
        f"artifacts/Trainer/weights/{running}",
        "runs/killed/.summary.json.0a.partial",
        "serving/.18.0a.partial",
        "store/checkpoints/0f",
        "store/features/0f/backbone-0123456789abcdef0123456789abcdef",
    ]
    for name in left:
        (pathlib.Path(paths.root) / name).mkdir(parents=True)
    assert end_state.leftovers(paths.root) == [f"execution {running} is running", *left]
