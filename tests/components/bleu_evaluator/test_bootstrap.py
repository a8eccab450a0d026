import numpy as np
import pytest

from components.bleu_evaluator.bootstrap import Sampling, compare, draw, summarize
from components.bleu_evaluator.metrics import Measurement, measure

REFERENCES = [[f"a {size} dog runs in the {place}"] for size in ("big", "small", "red") for place in "abcdefgh"]
RIGHT = [texts[0] for texts in REFERENCES]


def captions(wrong: int) -> Measurement:
    """Some captions wrong, the others right."""
    return measure(["a cat sleeps on two mats"] * wrong + RIGHT[wrong:], REFERENCES)


def test_every_picture_is_drawn_as_often_as_the_others_and_the_same_for_every_model():
    times = np.concatenate(list(Sampling(2000, 3).times(24)))
    assert times.shape == (2000, 24) and (times.sum(axis=1) == 24).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.1)
    np.testing.assert_array_equal(times, np.concatenate(list(Sampling(2000, 3).times(24))))
    assert (times != np.concatenate(list(Sampling(2000, 4).times(24)))).any()


def test_the_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    at_once = np.concatenate(list(Sampling(50).times(24)))
    monkeypatch.setattr("components.bleu_evaluator.bootstrap.AT_ONCE", 24 * 7)
    np.testing.assert_array_equal(np.concatenate(list(Sampling(50).times(24))), at_once)


def test_an_interval_of_a_mean_is_that_of_theory():
    measured = captions(8)
    figure = summarize(measured, Sampling(4000))["rouge_l"]
    values = measured.means["rouge_l"]
    error = values.std() / np.sqrt(len(values))
    assert figure["value"] == pytest.approx(values.mean())
    assert figure["low"] == pytest.approx(figure["value"] - 1.96 * error, abs=0.03)
    assert figure["high"] == pytest.approx(figure["value"] + 1.96 * error, abs=0.03)


def test_every_figure_lies_within_its_interval():
    for name, figure in summarize(captions(8), Sampling(200)).items():
        assert figure["low"] <= figure["value"] <= figure["high"], name


def test_a_picture_drawn_twice_counts_twice():
    measured = captions(8)
    [times] = Sampling(1, 5).times(24)
    rows = np.repeat(np.arange(24), times[0])
    alone = measured.take(rows).figures(np.ones((1, 24)))
    for name, drawn in draw(measured, Sampling(1, 5)).items():
        assert drawn == pytest.approx(alone[name]), name


def test_the_jackknife_knows_words_that_all_pictures_share_for_sure():
    same = measure(["a dog"] * 5, [["a dog"]] * 5)
    assert summarize(same, Sampling(10))["vocabulary"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    words = summarize(measure(["a dog", "a cat", "a cat"], [["a dog"]] * 3), Sampling(10))["vocabulary"]
    assert words["value"] == 3 and words["low"] < 3 < words["high"]  # one word less without the first


def test_no_interval_leaves_what_a_share_can_be():
    found = summarize(measure(["a dog", "a cat", "a cow", "a cat"], [["a dog"]] * 4), Sampling(10))
    assert found["distinct"]["value"] == 0.75 and found["distinct"]["high"] == 1.0
    assert found["vocabulary"]["high"] > 4


@pytest.mark.parametrize(("ours", "theirs", "least", "most"), [(0, 12, 0, 0.01), (12, 0, 0.99, 1), (6, 6, 1, 1)])
def test_p_tells_a_sure_gain_from_none(ours, theirs, least, most):
    gain = compare(captions(ours), captions(theirs), Sampling(500))["bleu_4"]
    assert least <= gain["p"] <= most
    assert gain["p"] > 0
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_comparing_picture_by_picture_is_surer_than_two_intervals():
    better, worse = captions(10), captions(12)
    gain = compare(better, worse, Sampling(1000))["cider"]
    apart = summarize(better, Sampling(1000))["cider"]
    assert gain["high"] - gain["low"] < apart["high"] - apart["low"]
