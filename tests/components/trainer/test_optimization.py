import numpy as np
import pytest
import tensorflow as tf

from components.trainer.optimization import WarmUpSchedule, adam, masked_accuracy, masked_loss


@pytest.mark.parametrize("step", [1, 10, 400, 4000, 100_000])
def test_the_schedule_is_the_papers(step):
    expected = 512**-0.5 * min(step**-0.5, step * 400**-1.5)
    assert float(WarmUpSchedule(512, 400)(step - 1)) == pytest.approx(expected, rel=1e-5)


def test_the_schedule_is_highest_at_the_end_of_the_warm_up():
    rates = [float(WarmUpSchedule(128, 50)(step)) for step in range(200)]
    assert np.argmax(rates) == 49


def test_adam_is_the_papers():
    config = adam(512, 4000).get_config()
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.9, 0.98, 1e-9)


LOGITS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
TARGETS = np.array([[2, 4, 0], [3, 0, 0]], np.int32)
THERE = [(0, 0), (0, 1), (1, 0)]


def test_the_loss_is_the_mean_over_the_words_that_are_there():
    chances = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = np.mean([-np.log(chances[row, column, TARGETS[row, column]]) for row, column in THERE])
    assert float(masked_loss(tf.constant(TARGETS), tf.constant(LOGITS))) == pytest.approx(expected, rel=1e-5)


def test_the_accuracy_counts_the_words_that_are_there():
    right = [LOGITS[row, column].argmax() == TARGETS[row, column] for row, column in THERE]
    assert float(masked_accuracy(tf.constant(TARGETS), tf.constant(LOGITS))) == pytest.approx(np.mean(right))


def test_padding_changes_nothing():
    padded_targets, padded_logits = np.pad(TARGETS, ((0, 1), (0, 2))), np.pad(LOGITS, ((0, 1), (0, 2), (0, 0)))
    for metric in (masked_loss, masked_accuracy):
        assert float(metric(padded_targets, padded_logits)) == pytest.approx(float(metric(TARGETS, LOGITS)))


def test_nothing_but_padding_is_no_division_by_zero():
    assert float(masked_loss(np.zeros((1, 3), np.int32), LOGITS[:1])) == 0.0


def test_keras_may_hand_the_targets_on_as_floats():
    for metric in (masked_loss, masked_accuracy):
        assert float(metric(tf.cast(TARGETS, tf.float32), LOGITS)) == float(metric(TARGETS, LOGITS))
