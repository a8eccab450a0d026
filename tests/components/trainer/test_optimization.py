import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.trainer.optimization import InverseSqrtSchedule, cosine_schedule, cross_entropy, make_optimizer
from components.trainer.settings import OptimizerSettings
from tests.components.trainer.factories import GRU, TRANSFORMER


@pytest.mark.parametrize("step", [1, 10, 400, 4000, 100_000])
def test_inverse_sqrt_is_the_schedule_of_the_paper(step):
    expected = 512**-0.5 * min(step**-0.5, step * 400**-1.5)
    schedule = make_optimizer(OptimizerSettings(warmup_steps=400), 512, 100_000)._learning_rate
    assert isinstance(schedule, InverseSqrtSchedule)
    assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)


def test_inverse_sqrt_peaks_at_the_end_of_the_warmup():
    rates = [float(InverseSqrtSchedule(0.5, 50)(step)) for step in range(200)]
    assert np.argmax(rates) == 49 and max(rates) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(1, 0.1), (5, 0.5), (10, 1.0), (35, 0.5 + 0.5 * math.cos(math.pi * 25 / 100)), (60, 0.5), (110, 0.0), (200, 0.0)],
)
def test_cosine_rises_to_the_peak_and_decays_to_zero(step, rate):
    assert float(cosine_schedule(1.0, 10, 110)(step - 1)) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(("warmup_steps", "rates"), [(1, [2.0, 1.0, 0.0]), (2, [1.0, 2.0, 0.0])])
def test_the_last_step_of_cosine_has_the_rate_0(warmup_steps, rates):
    schedule = cosine_schedule(2.0, warmup_steps, 3)
    np.testing.assert_allclose([float(schedule(step)) for step in range(3)], rates, atol=1e-6)


@pytest.mark.parametrize("warmup_steps", [3, 9])
def test_a_cosine_that_never_decays_is_refused(warmup_steps):
    settings = OptimizerSettings(lr_schedule="cosine", warmup_steps=warmup_steps)
    message = rf"trainer.optimizer.warmup_steps: {warmup_steps}, but the whole training has 3 steps"
    with pytest.raises(ValueError, match=message):
        make_optimizer(settings, 16, 3)


def take_steps(settings, gradient, num_steps=1):
    """A matrix and a bias of ones after some steps of our optimizer, and of Keras's own Adam."""
    ours, theirs = (
        [
            keras.Variable(np.ones((2, 3), np.float32), name="kernel"),
            keras.Variable(np.ones(3, np.float32), name="bias"),
        ]
        for _ in range(2)
    )
    optimizer = make_optimizer(settings, 16, 100)
    reference = keras.optimizers.Adam(
        optimizer._learning_rate, beta_1=0.9, beta_2=0.98, epsilon=1e-9,
        weight_decay=settings.weight_decay or None, global_clipnorm=settings.grad_clip_norm or None,
    )  # fmt: skip
    if settings.weight_decay:
        reference.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(num_steps):
        for adam, variables in ((optimizer, ours), (reference, theirs)):
            adam.apply([tf.constant(part) for part in gradient], variables)
    return [np.array(variable) for variable in ours], [np.array(variable) for variable in theirs]


GRADIENT = [np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], np.float32), np.array([1.0, 2.0, -3.0], np.float32)]


@pytest.mark.parametrize(
    "settings",
    [
        OptimizerSettings(warmup_steps=5),
        OptimizerSettings(warmup_steps=5, grad_clip_norm=0.5),
        OptimizerSettings(
            lr_schedule="cosine", warmup_steps=5, peak_learning_rate=0.01, weight_decay=0.1, grad_clip_norm=1.0
        ),
    ],
)
def test_steps_equal_those_of_keras_adam(settings):
    ours, theirs = take_steps(settings, GRADIENT, num_steps=7)
    for variable, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(variable, reference, rtol=1e-5)


def test_weights_decay_but_biases_do_not():
    zeros = [np.zeros_like(part) for part in GRADIENT]
    settings = OptimizerSettings(lr_schedule="cosine", warmup_steps=1, peak_learning_rate=0.5, weight_decay=0.1)
    (kernel, bias), _ = take_steps(settings, zeros)
    np.testing.assert_allclose(kernel, 0.95 * np.ones((2, 3)), rtol=1e-6)  # 1 - learning rate · decay
    np.testing.assert_allclose(bias, np.ones(3))


DECAYING = {
    "transformer": {
        "feature_proj/kernel", "output_proj/kernel",
        *(f"encoder/0/{name}/kernel" for name in (
            "self_attention/qkv_proj", "self_attention/out_proj", "feed_forward/fc1", "feed_forward/fc2",
        )),
        *(f"decoder/0/{name}/kernel" for name in (
            "self_attention/qkv_proj", "self_attention/out_proj", "cross_attention/q_proj", "cross_attention/kv_proj",
            "cross_attention/out_proj", "feed_forward/fc1", "feed_forward/fc2",
        )),
    },
    "gru": {
        f"{name}/kernel" for name in (
            "feature_proj", "init_state", "key_proj", "input_gates", "context_gates", "state_gates_and_query",
            "output_proj",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", [TRANSFORMER, dataclasses.replace(TRANSFORMER, tie_embeddings=True), GRU], ids=str)
def test_nothing_but_matrices_decays(settings):
    inputs = ModelInputs(vocabulary_size=7, grid=(2, 2), channels=3, max_length=5, compute_dtype="float32")
    model = weights.build(settings, inputs)
    before = [np.array(variable) for variable in model.trainable_variables]
    decay = OptimizerSettings(lr_schedule="cosine", warmup_steps=1, peak_learning_rate=0.5, weight_decay=0.1)
    optimizer = make_optimizer(decay, 16, 100)
    optimizer.build(model.trainable_variables)
    optimizer.apply([tf.zeros(variable.shape) for variable in model.trainable_variables], model.trainable_variables)
    paths = {id(variable): path for path, variable in attribute_paths(model).items()}
    decayed = {
        paths[id(variable)]
        for variable, value in zip(model.trainable_variables, before, strict=True)
        if not np.array_equal(variable, value)
    }
    assert decayed == DECAYING[settings.name] - ({"output_proj/kernel"} if model.output_proj is None else set())


def attribute_paths(part, prefix="") -> dict[str, keras.Variable]:
    """Path of attributes -> weight, of a model's layers at any depth."""
    if isinstance(part, list):
        children = enumerate(part)
    else:
        children = [(name, value) for name, value in vars(part).items() if not name.startswith("_")]
    paths = {}
    for name, value in children:
        if isinstance(value, keras.Variable):
            paths[f"{prefix}{name}"] = value
        elif isinstance(value, keras.layers.Layer) or (isinstance(value, list) and name in ("encoder", "decoder")):
            paths |= attribute_paths(value, f"{prefix}{name}/")
    return paths


def test_slices_of_one_row_are_clipped_as_their_sum():
    optimizer = make_optimizer(OptimizerSettings(grad_clip_norm=1.0), 16, 100)
    kernel = keras.Variable(np.ones((2, 3), "f"))
    slices = tf.constant([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), tf.constant([0, 0]), tf.constant([2, 3])
    optimizer.apply([tf.IndexedSlices(*slices)], [kernel])
    np.testing.assert_allclose(optimizer._momentums[0], [[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]], rtol=1e-6)  # 1 - beta_1


def test_last_learning_rate_is_that_of_the_last_step():
    settings = OptimizerSettings(lr_schedule="cosine", warmup_steps=4, peak_learning_rate=1.0)
    optimizer, kernel = make_optimizer(settings, 16, 100), keras.Variable(np.ones(3, "f"))
    for rate in (0.25, 0.5, 0.75):
        optimizer.apply([tf.ones(3)], [kernel])
        assert float(optimizer.last_learning_rate) == pytest.approx(rate)


LOGITS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
TARGETS = np.array([2, 4, 3, 0], np.int32)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
def test_loss_is_the_cross_entropy_with_smoothed_targets(label_smoothing):
    objective, nll = cross_entropy(tf.constant(TARGETS), tf.constant(LOGITS), label_smoothing)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    smoothed = (1 - label_smoothing) * np.eye(5)[TARGETS] + label_smoothing / 5
    np.testing.assert_allclose(objective, -(smoothed * np.log(probabilities)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(nll, -np.log(probabilities[np.arange(4), TARGETS]), rtol=1e-5)
