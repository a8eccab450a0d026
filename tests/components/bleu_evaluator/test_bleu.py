import math

import pytest

from components.bleu_evaluator.bleu import score


def test_a_perfect_caption_scores_one():
    scores = score({"a": "a dog runs in snow"}, {"a": ["two cats", "a dog runs in snow"]})
    assert scores == pytest.approx({"bleu_1": 1.0, "bleu_2": 1.0, "bleu_3": 1.0, "bleu_4": 1.0})


def test_the_figures_are_the_papers_formula():
    # clipped n-gram precisions, counted by hand over both pictures; each is as long as its closest reference
    predictions = {"a": "a dog runs in snow", "b": "the the cat sleeps here"}
    references = {"a": ["a dog runs in grass", "one dog"], "b": ["the cat sleeps here now", "a cat"]}
    precisions = [8 / 10, 6 / 8, 4 / 6, 2 / 4]
    expected = {f"bleu_{order}": math.exp(sum(map(math.log, precisions[:order])) / order) for order in (1, 2, 3, 4)}
    assert score(predictions, references) == pytest.approx(expected)


def test_short_captions_pay_by_the_closest_reference():
    scores = score({"a": "a dog"}, {"a": ["a dog runs", "a dog runs in the deep snow"]})
    assert scores["bleu_1"] == pytest.approx(math.exp(1 - 3 / 2))


def test_nothing_right_is_zero_without_a_warning(recwarn):
    assert score({"a": "bird"}, {"a": ["a dog runs"]}) == pytest.approx(
        dict.fromkeys(map("bleu_{}".format, range(1, 5)), 0)
    )
    assert not recwarn.list


def test_a_picture_without_references_is_an_error():
    with pytest.raises(KeyError):
        score({"a": "bird"}, {})
