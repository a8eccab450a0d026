"""What the evaluator observes of an earlier evaluation, and of files that metrics read. The rest: `test_executor`."""

import os

import pytest
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts

from components.bleu_evaluator.driver import Driver
from components.bleu_evaluator.executor import METRIC_FILES, UNCOMPARED_MODELS
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.spice import JARS
from components.shared import storage
from components.shared.records import EVALUATION_FILE, INCOMPLETE
from components.shared.settings import to_property
from tests.fake_mlmd import FakeMlmd


class Handle:
    """TFX's handle on a store, which it closes after use."""

    def __init__(self, fake_mlmd: FakeMlmd):
        self.store = fake_mlmd.store

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize(("is_there", "incomplete"), [(True, {}), (False, {}), (True, {INCOMPLETE: "[]"})])
def test_a_blessed_model_whose_evaluation_is_incomplete_or_deleted_is_evaluated_again(tmp_path, is_there, incomplete):
    fake_mlmd, model = FakeMlmd(), standard_artifacts.Model()
    model.id, model.uri = fake_mlmd.artifact("Model"), str(tmp_path / "model")
    fake_mlmd.artifact("ModelEvaluation", str(tmp_path / "evaluation"), candidate_id=model.id, **incomplete)
    if is_there:
        (tmp_path / "evaluation").mkdir()
        (tmp_path / "evaluation" / EVALUATION_FILE).write_text("{}")
    info = data_types.ExecutionInfo(input_dict={"model": [model], "baseline_model": [model]}, exec_properties={})
    observed = Driver(Handle(fake_mlmd)).run(info).exec_properties[UNCOMPARED_MODELS].string_value
    assert observed == (
        "" if is_there and not incomplete else str(model.id)
    )  # with which the executor evaluates it, as in `test_executor`


def observed_files(**directories: str) -> str:
    settings = to_property(BleuEvaluatorSettings(**directories), BleuEvaluatorSettings)
    inputs = {"model": [standard_artifacts.Model()]}
    info = data_types.ExecutionInfo(input_dict=inputs, exec_properties={"settings": settings})
    return Driver(Handle(FakeMlmd())).run(info).exec_properties[METRIC_FILES].string_value


def check_that_files_are_observed(directory: str) -> None:
    seen = [observed_files(clip_dir=directory)]
    for name in ("config.json", "assets/vocabulary.json", JARS[0]):  # as of a directory that lacked files
        for content in ("one", "two"):
            storage.write_text(os.path.join(directory, name), content)
            seen.append(observed_files(clip_dir=directory))
            assert observed_files(clip_dir=directory) == seen[-1]
    assert len(set(seen)) == len(seen) and observed_files() == ""

    before = observed_files(spice_dir=directory)
    storage.write_text(os.path.join(directory, "config.json"), "of no matter to SPICE")
    assert observed_files(spice_dir=directory) == before
    storage.write_text(os.path.join(directory, JARS[0]), "six")
    assert observed_files(spice_dir=directory) != before
    assert observed_files(spice_dir=directory, clip_dir=directory) != observed_files(clip_dir=directory)


def test_the_files_that_metrics_read_are_observed(tmp_path):
    (tmp_path / "assets").mkdir()
    check_that_files_are_observed(str(tmp_path))


def test_the_objects_that_metrics_read_are_observed(bucket):
    check_that_files_are_observed(f"{bucket}/clip")
