"""The evaluator's executor on small SavedModels."""

import json
import pathlib
from unittest import mock

import numpy as np
import pytest
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.artifact import Artifact

from components.bleu_evaluator.executor import Executor
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared import artifact_types, records
from components.shared.features import Manifest
from components.shared.settings import to_property
from components.shared.shard_format import write_shard
from components.shared.words import Tokenization
from tests.components.bleu_evaluator.factories import (
    CAPTIONS,
    FINGERPRINT,
    TEST_IMAGES,
    artifact,
    save_model,
    write_split,
)
from tests.fake_mlmd import FakeMlmd


@pytest.fixture
def data_inputs(tmp_path):
    """The evaluator's inputs but for the models: features, files and references of the images above."""
    store = tmp_path / "store"
    features_by_number = [np.full((1, 1), number, np.float16) for number in range(len(CAPTIONS))]
    contents = {name: f"sha {name:>9}" for name in CAPTIONS}  # of equal length, as hashes are
    shard = write_shard(str(store), list(contents.values()), features_by_number)
    (tmp_path / "data").mkdir()
    for name in CAPTIONS:
        (tmp_path / "data" / name).write_text(name)
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples")
    examples.set_string_custom_property(records.DATA_ROOT, str(tmp_path / "data"))
    write_split(tmp_path / "examples", "test", TEST_IMAGES)
    write_split(tmp_path / "examples", "train", {"t.jpg": ["A dog runs in the snow!"]})
    features = artifact(artifact_types.Features, tmp_path / "features")
    Manifest(FINGERPRINT, str(store), (1, 1), 1, {shard: contents}).save(features.uri)
    return {"examples": [examples], "features": [features]}


@pytest.fixture
def evaluate(data_inputs, tmp_path):
    """Runs the executor: (candidate, baseline, settings) -> (evaluation.json, blessing, output directory)."""

    def run(
        candidate: Artifact,
        baseline_model: Artifact | None = None,
        min_bleu_4: float = 0.5,
        comparison_models: list[Artifact] = (),
        observed: dict[str, str] | None = None,
        **settings,
    ):
        out = tmp_path / "out"
        outputs = {
            "predictions": [artifact(artifact_types.Predictions, out / "predictions")],
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
            "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
        }
        inputs = {**data_inputs, "model": [candidate], "baseline_model": [baseline_model] if baseline_model else []}
        inputs["comparison_models"] = list(comparison_models)
        parsed = BleuEvaluatorSettings(**{"num_bootstrap_samples": 100, "meteor": False, "ptb": False, **settings})
        runtime = {"min_bleu_4": min_bleu_4, "min_bleu_4_improvement": 0.0}
        properties = {
            "settings": to_property(parsed, BleuEvaluatorSettings, runtime),
            **runtime,
            records.TOKENIZATION: to_property(Tokenization(), Tokenization),
            **(observed or {}),
        }
        Executor().Do(inputs, outputs, properties)
        run.evaluation = artifact_utils.get_single_instance(outputs["evaluation"])
        result = json.loads((out / "evaluation" / "evaluation.json").read_text())
        return result, artifact_utils.get_single_instance(outputs["blessing"]), out

    return run


@pytest.fixture
def fake_mlmd() -> FakeMlmd:
    """ML Metadata without executions."""
    return FakeMlmd()


@pytest.fixture
def mlmd_handle(fake_mlmd):
    handle = mock.MagicMock()
    handle.__enter__.return_value.store = fake_mlmd.store
    return handle


@pytest.fixture
def model(tmp_path):
    def make(artifact_id: int, captions: dict[str, str] = CAPTIONS, fingerprint: str = FINGERPRINT) -> Artifact:
        new = artifact(standard_artifacts.Model, tmp_path / f"model {artifact_id}", artifact_id)
        save_model(pathlib.Path(new.uri), captions, fingerprint)
        return new

    return make
