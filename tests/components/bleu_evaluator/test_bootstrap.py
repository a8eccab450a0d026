import functools

import numpy as np
import pytest

from components.bleu_evaluator import measurement
from components.bleu_evaluator.bootstrap import BootstrapSampler, compare, resample, summarize
from components.bleu_evaluator.measurement import Measurement
from components.bleu_evaluator.metrics import METRICS, Metric
from components.shared.words import Tokenization

REFERENCES = [[f"a {size} dog runs in the {place}"] for size in ("big", "small", "red") for place in "abcdefgh"]
CORRECT = [texts[0] for texts in REFERENCES]
measure = functools.partial(measurement.measure, tokenization=Tokenization())


def sampler(num_samples: int, seed: int = 0) -> BootstrapSampler:
    return BootstrapSampler(num_samples, seed)


def draw_counts(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(sampler(num_samples, seed).draw_counts(24)))


def captions(wrong: int) -> Measurement:
    """Some captions are wrong, the others are correct."""
    return measure(["a cat sleeps on two mats"] * wrong + CORRECT[wrong:], REFERENCES)


def test_every_image_is_drawn_equally_often_and_the_same_for_every_model():
    counts = draw_counts(2000, 3)
    assert counts.shape == (2000, 24) and (counts.sum(axis=1) == 24).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    np.testing.assert_array_equal(counts, draw_counts(2000, 3))
    assert (counts != draw_counts(2000, 4)).any()


def test_the_draws_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    in_one_chunk = draw_counts(50)
    monkeypatch.setattr("components.bleu_evaluator.bootstrap.MAX_CELLS", 24 * 7)
    np.testing.assert_array_equal(draw_counts(50), in_one_chunk)


def test_the_interval_of_a_mean_is_that_of_theory():
    measured = captions(8)
    metric = summarize(measured, sampler(4000))["rouge_l"]
    values = measured.image_scores()["rouge_l"]
    error = values.std() / np.sqrt(len(values))
    assert metric["value"] == pytest.approx(values.mean())
    assert metric["low"] == pytest.approx(metric["value"] - 1.96 * error, abs=0.03)
    assert metric["high"] == pytest.approx(metric["value"] + 1.96 * error, abs=0.03)


def test_every_metric_lies_within_its_interval():
    for name, metric in summarize(captions(8), sampler(200)).items():
        assert metric["low"] <= metric["value"] <= metric["high"], name


def test_an_image_drawn_twice_counts_twice():
    measured = captions(8)
    rows = np.repeat(np.arange(24), draw_counts(1, 5)[0])
    expected = measured.take(rows).scalars()
    for name, values in resample(measured, sampler(1, 5)).items():
        assert values == pytest.approx(expected[name]), name


def test_words_that_all_images_share_have_an_exact_jackknife_interval():
    same = measure(["a dog"] * 5, [["a dog"]] * 5)
    assert summarize(same, sampler(10))["unique_words"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    words = summarize(measure(["a dog", "a cat", "a cat"], [["a dog"]] * 3), sampler(10))["unique_words"]
    assert words["value"] == 3 and words["low"] < 3 < words["high"]  # without the first image one word less


def test_no_interval_exceeds_the_range_of_a_fraction():
    summary = summarize(measure(["a dog", "a cat", "a cow", "a cat"], [["a dog"]] * 4), sampler(10))
    assert summary["distinct_captions"]["value"] == 0.75 and summary["distinct_captions"]["high"] == 1.0
    assert summary["unique_words"]["high"] > 4


@pytest.mark.parametrize(("ours", "theirs", "min_p", "max_p"), [(0, 12, 0, 0.01), (12, 0, 0.99, 1), (6, 6, 1, 1)])
def test_the_p_value_separates_a_sure_improvement_from_none(ours, theirs, min_p, max_p):
    improvement = compare(captions(ours), captions(theirs), sampler(500))["bleu_4"]
    assert min_p <= improvement["p"] <= max_p
    assert improvement["p"] > 0
    assert improvement["low"] <= improvement["value"] <= improvement["high"]


def test_a_paired_comparison_has_a_narrower_interval_than_each_model():
    better, worse = captions(10), captions(12)
    improvement = compare(better, worse, sampler(1000))["cider"]
    of_one_model = summarize(better, sampler(1000))["cider"]
    assert improvement["high"] - improvement["low"] < of_one_model["high"] - of_one_model["low"]


def test_less_is_an_improvement_where_lower_is_better(monkeypatch):
    def num_cats(corpus):
        return [caption.split().count("cat") for caption in corpus.captions]

    monkeypatch.setitem(METRICS, "cats", Metric("cats", "cats per caption", False, num_cats))
    better, worse = captions(2), captions(12)
    assert compare(better, worse, sampler(500))["cats"]["value"] == pytest.approx(10 / 24)
    assert compare(better, worse, sampler(500))["cats"]["p"] < 0.05
    regression = compare(worse, better, sampler(500))["cats"]
    assert regression["value"] == pytest.approx(-10 / 24) and regression["high"] < 0 and regression["p"] > 0.95


def test_a_metric_without_a_direction_has_a_difference_and_no_p_value():
    assert set(compare(captions(2), captions(12), sampler(10))["mean_length"]) == {"value", "low", "high"}


def test_a_difference_of_smoothing_is_no_improvement():
    better = measure(["x dog z z z z z z"] * 24, REFERENCES)
    worse = measure(["x dog z z z z z z z z z z"] * 24, REFERENCES)
    bleu_4 = compare(better, worse, sampler(200))["bleu_4"]
    assert 0 < bleu_4["value"] < 1e-6 and bleu_4["p"] == 1
