import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.optimization import (
    CosineSchedule,
    OptimizerSettings,
    WarmUpSchedule,
    cross_entropy,
    make_optimizer,
)


@pytest.mark.parametrize("step", [1, 10, 400, 4000, 100_000])
def test_the_schedule_is_the_papers(step):
    expected = 512**-0.5 * min(step**-0.5, step * 400**-1.5)
    assert float(WarmUpSchedule(512, 400)(step - 1)) == pytest.approx(expected, rel=1e-5)


def test_the_schedule_is_highest_at_the_end_of_the_warm_up():
    rates = [float(WarmUpSchedule(128, 50)(step)) for step in range(200)]
    assert np.argmax(rates) == 49
    scaled = [float(WarmUpSchedule(128, 50, peak=0.5)(step)) for step in range(200)]
    np.testing.assert_allclose(scaled, np.array(rates) / max(rates) * 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "rate"), [(1, 0.1), (5, 0.5), (10, 1.0), (60, 0.5), (35, 0.5 + 0.5 * math.cos(math.pi / 4)), (110, 0.0)]
)
def test_the_cosine_rises_to_the_peak_and_falls_to_nothing(step, rate):
    # half of 1 + cos(pi · share of the steps after the warm-up)
    expected = rate if step != 35 else 0.5 * (1 + math.cos(math.pi * 25 / 100))
    assert float(CosineSchedule(1.0, 10, 110)(step - 1)) == pytest.approx(expected, abs=1e-6)


def one_step(settings, gradient, steps=1):
    """A matrix and a bias of ones after some steps, and Keras's own after as many."""
    ours, theirs = (
        [
            keras.Variable(np.ones((2, 3), np.float32), name="kernel"),
            keras.Variable(np.ones(3, np.float32), name="bias"),
        ]
        for _ in "ab"
    )
    optimizer = make_optimizer(settings, 16, 100)
    reference = keras.optimizers.Adam(
        optimizer._learning_rate, beta_1=0.9, beta_2=0.98, epsilon=1e-9,
        weight_decay=settings.weight_decay or None, global_clipnorm=settings.clip_norm or None,
    )  # fmt: skip
    if settings.weight_decay:
        reference.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(steps):
        for which, variables in ((optimizer, ours), (reference, theirs)):
            which.apply([tf.constant(each) for each in gradient], variables)
    return [np.array(each) for each in ours], [np.array(each) for each in theirs]


GRADIENT = [np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], np.float32), np.array([1.0, 2.0, -3.0], np.float32)]


@pytest.mark.parametrize(
    "settings",
    [
        OptimizerSettings(warmup=5),
        OptimizerSettings(warmup=5, clip_norm=0.5),
        OptimizerSettings("cosine", 5, 0.01, weight_decay=0.1, clip_norm=1.0),
    ],
)
def test_it_steps_as_keras_own_adam_does(settings):
    ours, theirs = one_step(settings, GRADIENT, steps=7)
    for mine, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5)


def test_weights_decay_but_biases_do_not():
    nothing = [np.zeros_like(each) for each in GRADIENT]
    (kernel, bias), _ = one_step(OptimizerSettings("cosine", 1, 0.5, weight_decay=0.1), nothing)
    np.testing.assert_allclose(kernel, 0.95 * np.ones((2, 3)))  # 1 - rate · decay
    np.testing.assert_allclose(bias, np.ones(3))


def test_parts_of_a_row_are_clipped_as_their_sum():
    optimizer, kernel = make_optimizer(OptimizerSettings(clip_norm=1.0), 16, 100), keras.Variable(np.ones((2, 3), "f"))
    parts = tf.constant([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), tf.constant([0, 0]), tf.constant([2, 3])
    optimizer.apply([tf.IndexedSlices(*parts)], [kernel])
    np.testing.assert_allclose(optimizer._momentums[0], [[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]], rtol=1e-6)  # 1 - beta_1


def test_the_last_rate_is_that_of_the_step_that_was_taken():
    optimizer, kernel = make_optimizer(OptimizerSettings("cosine", 4, 1.0), 16, 100), keras.Variable(np.ones(3, "f"))
    for rate in (0.25, 0.5, 0.75):
        optimizer.apply([tf.ones(3)], [kernel])
        assert float(optimizer.last_rate) == pytest.approx(rate)


LOGITS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
TARGETS = np.array([2, 4, 3, 0], np.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_the_cross_entropy_with_smoothed_targets(smoothing):
    objective, plain = cross_entropy(tf.constant(TARGETS), tf.constant(LOGITS), smoothing)
    chances = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    wanted = (1 - smoothing) * np.eye(5)[TARGETS] + smoothing / 5
    np.testing.assert_allclose(objective, -(wanted * np.log(chances)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(plain, -np.log(chances[np.arange(4), TARGETS]), rtol=1e-5)
