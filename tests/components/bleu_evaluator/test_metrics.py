import dataclasses
import functools
import math
import shutil

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from pycocoevalcap.bleu.bleu import Bleu

from components.bleu_evaluator import measurement, meteor
from components.bleu_evaluator.measurement import tokenized
from components.bleu_evaluator.metrics import METRICS, MetricUnavailable
from components.shared import bleu
from components.shared.words import Tokenization

WORDS = ["a", "the", "dog", "cat", "runs", "sleeps", "in", "on", "snow", "mat", "big", "small", "red", "and", "two"]
measure = functools.partial(measurement.measure, tokenization=Tokenization())


def score(predictions: list[str], references: list[list[str]]) -> dict[str, float]:
    return measure(predictions, references).scalars()


def random_captions(num_images: int, min_length: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Captions and references with random words; each caption resembles a reference."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(min_length, 9)))

    def resembling(text: str) -> str:
        words = text.split()
        words[rng.integers(len(words))] = rng.choice(WORDS)
        return " ".join(words)

    references = [[sentence() for _ in range(5)] for _ in range(num_images)]
    return [resembling(texts[0]) for texts in references], references


def bleu_of(scores: dict[str, float]) -> list[float]:
    return [scores[f"bleu_{order}"] for order in bleu.ORDERS]


def test_a_perfect_caption_scores_one():
    scores = score(["a dog runs in snow"], [["two cats", "a dog runs in snow"]])
    assert bleu_of(scores) == pytest.approx([1.0] * 4)
    assert scores["rouge_l"] == pytest.approx(1.0)


def test_bleu_is_the_formula_of_its_paper():
    # clipped n-gram precisions, counted by hand over both images; each is as long as its closest reference
    predictions = ["a dog runs in snow", "the the cat sleeps here"]
    references = [["a dog runs in grass", "one dog"], ["the cat sleeps here now", "a cat"]]
    precisions = [8 / 10, 6 / 8, 4 / 6, 2 / 4]
    expected = [math.exp(sum(map(math.log, precisions[:order])) / order) for order in (1, 2, 3, 4)]
    assert bleu_of(score(predictions, references)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "captions_and_references",
    [
        *(random_captions(60, min_length, seed) for min_length in (1, 4) for seed in (1, 2)),
        (["a dog", ""], [["a dog runs"], ["a cat"]]),  # no match of three words, and an empty caption
        (["a cat sleeps on a mat"], [["a dog runs in snow", "a cat runs"]]),  # none of four
        (["a dog runs"], [["a dog", "a dog runs in"]]),  # two references are as close
    ],
)
def test_bleu_is_that_of_cocos_program(captions_and_references):
    predictions, references = captions_and_references
    captions = {row: [caption] for row, caption in enumerate(predictions)}
    expected, _ = Bleu(4).compute_score(dict(enumerate(references)), captions, verbose=0)
    assert bleu_of(score(predictions, references)) == pytest.approx(expected, abs=1e-6)


def test_bleu_is_that_of_nltk_where_no_caption_is_too_short_for_four_words():
    predictions, references = random_captions(60, 4)
    words = [[text.split() for text in texts] for texts in references]
    weights = [(1 / order,) * order for order in bleu.ORDERS]
    expected = corpus_bleu(words, [text.split() for text in predictions], weights)
    assert bleu_of(score(predictions, references)) == pytest.approx(expected, abs=1e-9)


def test_the_brevity_penalty_is_by_the_closest_reference():
    scores = score(["a dog"], [["a dog runs", "a dog runs in the deep snow"]])
    assert scores["bleu_1"] == pytest.approx(math.exp(1 - 3 / 2))


def test_no_match_and_an_empty_caption_score_zero_without_a_warning(recwarn):
    assert bleu_of(score(["bird", ""], [["a dog runs"], ["a cat"]])) == pytest.approx([0.0] * 4, abs=1e-4)
    assert bleu_of(score([""], [["a dog runs"]])) == [0.0] * 4
    assert not recwarn.list


def test_the_score_of_one_image_is_nltks_smoothed_bleu():
    predictions, references = random_captions(30, 4)
    measured = measure(predictions, references)
    expected = [
        sentence_bleu([text.split() for text in texts], caption.split(), smoothing_function=SmoothingFunction().method2)
        for caption, texts in zip(predictions, references, strict=True)
    ]
    assert measured.image_scores()["bleu_4"] == pytest.approx(expected, abs=1e-9)


def test_raw_references_are_tokenized_like_predictions():
    assert score(["a man s dog"], [["A man's DOG!", "?"]])["bleu_4"] == pytest.approx(1.0)
    # a number that a model does not say counts against it, and so does every word of a long reference
    assert score(["a dog"], [["2 dogs"]])["bleu_1"] < 1e-6
    assert score(["a dog"], [["a dog " + "and a cat " * 50]])["bleu_1"] < 1e-6


def test_bleu_of_scripts_without_blanks_is_that_of_their_letters():
    pair = ["一只dog在雪地里。"], [["一只dog在草地里"]]
    scores = measure(*pair).scalars()
    assert scores["bleu_1"] == pytest.approx(6 / 7) and scores["mean_length"] == 7
    assert scores["bleu_4"] == pytest.approx((6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25)
    assert measure(*pair, tokenization=Tokenization("word")).scalars()["bleu_1"] < 1e-6


def test_digits_are_dropped_in_references_where_the_model_does_not_learn_them():
    tokenization = Tokenization(keep_digits=False)
    without = measure(["a year old boy runs"], [["A 3 year old boy runs"]], tokenization=tokenization)
    assert without.scalars()["bleu_4"] == pytest.approx(1.0)
    assert score(["a 3 year old boy runs"], [["A 3 year old boy runs"]])["bleu_4"] == pytest.approx(1.0)
    assert tokenized(["a 3 year old"], tokenization) == {"a year old"}


def test_what_is_left_of_an_emoji_is_no_word():
    assert score(["a red heart"], [["a red heart \u2764\ufe0f"]])["bleu_1"] == pytest.approx(1.0)


def test_an_image_without_references_is_an_error():
    for references in ([[]], [["!"]]):
        with pytest.raises(ValueError, match="a test image has no references"):
            measure(["bird"], references)
    with pytest.raises(ValueError, match="no test images"):
        measure([], [])


def test_metrics_that_describe_captions():
    predictions = ["a dog", "a dog", "a cat sleeps", "a big bird"]
    measured = measure(predictions, [["a dog"]] * 4, train_captions=tokenized(["A dog!", "a cow"], Tokenization()))
    assert (measured.scalars()["mean_length"], measured.scalars()["train_overlap"]) == (2.5, 0.5)
    counted = measured.count_metrics()
    assert counted["unique_words"][0] == 6 and counted["distinct_captions"][0] == 0.75
    np.testing.assert_array_equal(counted["unique_words"][1], [6, 6, 4, 4])  # without one image
    np.testing.assert_allclose(counted["distinct_captions"][1], [1, 1, 2 / 3, 2 / 3])


def test_the_metrics_of_a_part_are_those_of_its_images():
    predictions, references = random_captions(20, 2)
    measured, part = measure(predictions, references), slice(5, 9)
    draw_counts = np.zeros((1, 20))
    draw_counts[0, part] = 1
    expected = score(predictions[part], references[part])
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "mean_length"):
        assert measured.resampled(draw_counts)[name] == pytest.approx(expected[name])
        assert measured.take(np.arange(5, 9)).scalars()[name] == pytest.approx(expected[name])


def test_metrics_that_share_a_function_compute_it_once():
    calls = []

    def num_letters(corpus):
        calls.append(corpus)
        return [len(caption) for caption in corpus.captions]

    metrics = [dataclasses.replace(METRICS["mean_length"], name=name, per_image=num_letters) for name in "ab"]
    assert measure(["a dog"], [["a cat"]], metrics=metrics).scalars() == {"a": 5.0, "b": 5.0}
    assert len(calls) == 1


# the output of METEOR's program for two captions; the second is a perfect match, whose chunk does not count
METEOR_LINES = """
6 4 3 2 2 2 1 1 0 0 0 0 0 0 0 0 0 0 0 0 1 3 3
6 6 3 3 3 3 3 3 0 0 0 0 0 0 0 0 0 0 0 0 0 6 6
"""


def test_meteor_is_the_formula_of_its_paper():
    statistics = np.array([line.split() for line in METEOR_LINES.split("\n") if line], float)
    assert meteor.corpus_score(statistics[1]) == pytest.approx(1.0)
    # the first: delta 0.75 for content words; 2 content and 1 function word matched in one chunk
    precision, recall = (0.75 * 2 + 0.25 * 1) / (0.75 * 3 + 0.25 * 3), (0.75 * 2 + 0.25 * 1) / (0.75 * 2 + 0.25 * 2)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor.corpus_score(statistics[0]) == pytest.approx(mean * (1 - 0.6 * (1 / 3) ** 0.2))
    assert meteor.corpus_score(np.zeros(23)) == 0.0


@pytest.mark.slow
def test_meteor_is_that_of_its_program_where_java_is_installed():
    if shutil.which("java") is None:
        with pytest.raises(MetricUnavailable, match="Java is not installed"):
            meteor.Program()
        return
    predictions, references = random_captions(12, 2)
    program = meteor.Program()
    captions = {row: [caption] for row, caption in enumerate(predictions)}
    expected, per_image = program._process.compute_score(dict(enumerate(references)), captions)
    measured = measure(predictions, references, metrics=[METRICS["meteor"]], resources={"meteor": program})
    assert measured.scalars()["meteor"] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(meteor.corpus_score(program.statistics(predictions, references)), per_image, atol=1e-9)


def test_without_java_meteor_is_unavailable(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MetricUnavailable, match="METEOR is not computed: Java is not installed"):
        meteor.Program()
