"""What errors about training, models and their evaluation advise, done."""

import math
import shutil

import keras
import numpy as np
import pytest

from components.bleu_evaluator.decision import decide
from components.bleu_evaluator.measurement import measure
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.slices import slice_by
from components.shared.models import weights
from components.shared.words import Tokenization
from components.trainer.checkpoints import CheckpointManager
from components.trainer.optimization import make_optimizer
from components.trainer.settings import OptimizerSettings
from pipeline.config_files import load
from tests.components.shared.models.conformance import make_model, small_settings
from tests.components.trainer.store import write_store
from tests.components.trainer.test_loop import IMAGES, make_loop
from tests.messages import refusal


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features") / "store", [IMAGES])


@pytest.mark.parametrize("way_out", ["warmup_steps=10000000000000000000000000", "peak_learning_rate=0.001"])
def test_a_training_that_diverged_goes_on_with_each_of_the_ways_out(store, tmp_path, way_out):
    diverging = ["trainer.optimizer.peak_learning_rate=1e20", "trainer.optimizer.warmup_steps=1"]

    def losses(*overrides: str) -> list[float]:
        optimizer = load(None, [*diverging, *overrides]).trainer.optimizer
        return [metrics["loss"] for metrics in make_loop(store, tmp_path, epochs=1, optimizer=optimizer).run()]

    with refusal("Non-finite … at …: …, learning rate …; …") as advice:
        losses()
    assert advice[-1] == "raise trainer.optimizer.warmup_steps, or lower trainer.optimizer.peak_learning_rate"
    assert all(map(math.isfinite, losses(f"trainer.optimizer.{way_out}")))


def test_fewer_steps_of_warm_up_or_more_epochs_let_the_rate_decay():
    settings = OptimizerSettings(lr_schedule="cosine", warmup_steps=9)
    with refusal(
        "trainer.optimizer.warmup_steps: …, but the whole training has … steps: with lr_schedule=cosine the learning "
        "rate would never decay; set fewer warm-up steps, or raise trainer.epochs"
    ) as advice:
        make_optimizer(settings, 16, 3)
    make_optimizer(OptimizerSettings(lr_schedule="cosine", warmup_steps=int(advice[1]) - 1), 16, 3)
    make_optimizer(settings, 16, 4 * int(advice[1]))


def test_a_training_whose_checkpoint_is_gone_starts_anew(tmp_path):
    variables = [keras.Variable(np.array([1.0, 2.0], np.float32))]
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    checkpoints.save_weights("7", variables)
    (tmp_path / "key" / "weights-7.npz").unlink()
    with refusal("… is damaged or gone: run again, and this training starts anew") as advice:
        checkpoints.load_weights(["7"], variables)
    assert advice == [str(tmp_path / "key" / "weights-7.npz")]
    assert checkpoints.restore(variables) is None
    checkpoints.save_weights("1", variables)
    checkpoints.load_weights(["1"], variables)


def test_the_files_of_a_model_are_written_by_the_next_run(tmp_path):
    settings = small_settings("gru")
    directory = tmp_path / "model"

    def run() -> None:
        """What a run writes, whose cache does not hand out damaged outputs."""
        shutil.rmtree(directory, ignore_errors=True)
        weights.save(make_model(settings), str(directory), "gru", "fingerprint")

    def read_damaged(name: str, content: bytes | None) -> None:
        run()
        assert weights.load(str(directory))
        (directory / name).unlink()
        if content is not None:
            (directory / name).write_bytes(content)
        weights.load(str(directory))

    with refusal("… is missing: the model is incomplete"):
        read_damaged(weights.WEIGHTS_FILE, None)
    with refusal("… is damaged: its content differs from what was saved"):
        read_damaged(weights.WEIGHTS_FILE, b"")
    with refusal("… does not describe a model of this version: …"):
        read_damaged(weights.DESCRIPTION_FILE, b"{}")


def test_a_known_field_slices_the_test_split():
    examples, references = [{"width": [40]}, {"width": [50]}], [["a dog"], ["a cat"]]
    with refusal("evaluator.slices: no image has a field …; known fields: …") as advice:
        slice_by("hight", examples, references, Tokenization())
    for field in advice[1].split(", "):
        [chosen] = load(None, [f"evaluator.slices=[{field}]"]).evaluator.slices
        assert slice_by(chosen, examples, references, Tokenization())


def test_a_rule_about_a_computed_metric_is_applied():
    improvements = {name: {"value": 0.1, "p": 0.5} for name in ("bleu_4", "cider")}
    with refusal("evaluator.max_regression: … was not computed; computed metrics: …") as advice:
        decide({"bleu_4": 0.4}, improvements, BleuEvaluatorSettings(max_regression={"meteor": 0.1}))
    for metric in advice[1].split(", "):
        assert decide({"bleu_4": 0.4}, improvements, BleuEvaluatorSettings(max_regression={metric: 0.1}))


def test_test_images_with_references_are_measured():
    with refusal("there are no test images, or a test image has no references"):
        measure(["a dog"], [[]], Tokenization())
    assert measure(["a dog"], [["a dog"]], Tokenization()).scalars()["bleu_1"] == pytest.approx(1.0)
