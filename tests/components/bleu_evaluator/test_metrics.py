import math
import shutil

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from pycocoevalcap.bleu.bleu import Bleu

from components.bleu_evaluator import bleu, meteor, metrics
from components.bleu_evaluator.metrics import measure

WORDS = ["a", "the", "dog", "cat", "runs", "sleeps", "in", "on", "snow", "mat", "big", "small", "red", "and", "two"]


def score(predictions: list[str], references: list[list[str]], **options) -> dict[str, float]:
    measured = measure(predictions, references, **options)
    found = measured.figures(np.ones((1, len(predictions))))
    return {name: float(value) for name, [value] in found.items()}


def drawn(pictures: int, shortest: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Captions and references of some pictures, with words at random; the captions resemble a reference."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(shortest, 9)))

    def like(text: str) -> str:
        words = text.split()
        words[rng.integers(len(words))] = rng.choice(WORDS)
        return " ".join(words)

    references = [[sentence() for _ in range(5)] for _ in range(pictures)]
    return [like(texts[0]) for texts in references], references


def bleu_of(scores: dict[str, float]) -> list[float]:
    return [scores[name] for name in bleu.NAMES]


def test_a_perfect_caption_scores_one():
    scores = score(["a dog runs in snow"], [["two cats", "a dog runs in snow"]])
    assert bleu_of(scores) == pytest.approx([1.0] * 4)
    assert scores["rouge_l"] == pytest.approx(1.0)


def test_the_figures_are_the_papers_formula():
    # clipped n-gram precisions, counted by hand over both pictures; each is as long as its closest reference
    predictions = ["a dog runs in snow", "the the cat sleeps here"]
    references = [["a dog runs in grass", "one dog"], ["the cat sleeps here now", "a cat"]]
    precisions = [8 / 10, 6 / 8, 4 / 6, 2 / 4]
    expected = [math.exp(sum(map(math.log, precisions[:order])) / order) for order in (1, 2, 3, 4)]
    assert bleu_of(score(predictions, references)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "described",
    [
        *(drawn(60, shortest, seed) for shortest in (1, 4) for seed in (1, 2)),
        (["a dog", ""], [["a dog runs"], ["a cat"]]),  # no match of three words, and nothing said
        (["a cat sleeps on a mat"], [["a dog runs in snow", "a cat runs"]]),  # none of four
        (["a dog runs"], [["a dog", "a dog runs in"]]),  # two references are as close
    ],
)
def test_bleu_is_that_of_cocos_program(described):
    predictions, references = described
    given = {row: [caption] for row, caption in enumerate(predictions)}
    expected, _ = Bleu(4).compute_score(dict(enumerate(references)), given, verbose=0)
    assert bleu_of(score(predictions, references)) == pytest.approx(expected, abs=1e-6)


def test_bleu_is_that_of_nltk_where_no_caption_is_too_short_for_four_words():
    predictions, references = drawn(60, 4)
    words = [[text.split() for text in texts] for texts in references]
    weights = [(1 / order,) * order for order in bleu.ORDERS]
    expected = corpus_bleu(words, [text.split() for text in predictions], weights)
    assert bleu_of(score(predictions, references)) == pytest.approx(expected, abs=1e-9)


def test_short_captions_pay_by_the_closest_reference():
    scores = score(["a dog"], [["a dog runs", "a dog runs in the deep snow"]])
    assert scores["bleu_1"] == pytest.approx(math.exp(1 - 3 / 2))


def test_nothing_right_and_nothing_said_are_zero_without_a_warning(recwarn):
    assert bleu_of(score(["bird", ""], [["a dog runs"], ["a cat"]])) == pytest.approx([0.0] * 4, abs=1e-4)
    assert bleu_of(score([""], [["a dog runs"]])) == [0.0] * 4
    assert not recwarn.list


def test_a_sentences_own_bleu_is_nltks_with_smoothing():
    predictions, references = drawn(30, 4)
    measured = measure(predictions, references)
    expected = [
        sentence_bleu([text.split() for text in texts], caption.split(), smoothing_function=SmoothingFunction().method2)
        for caption, texts in zip(predictions, references, strict=True)
    ]
    assert bleu.sentences(measured.bleu) == pytest.approx(expected, abs=1e-9)


def test_raw_references_are_compared_in_the_same_words_as_predictions():
    assert score(["a man s dog"], [["A man's DOG!", "?"]])["bleu_4"] == pytest.approx(1.0)
    # a number that a model can't say counts against it, and so does every word of a long reference
    assert score(["a dog"], [["2 dogs"]])["bleu_1"] < 1e-6
    assert score(["a dog"], [["a dog " + "and a cat " * 50]])["bleu_1"] < 1e-6


def test_a_picture_without_references_is_an_error():
    for references in ([[]], [["!"]]):
        with pytest.raises(ValueError, match="one without references"):
            measure(["bird"], references)
    with pytest.raises(ValueError, match="no test pictures"):
        measure([], [])


def test_what_is_said_of_the_captions_themselves():
    predictions = ["a dog", "a dog", "a cat sleeps", "a big bird"]
    known = metrics.known_captions(["A dog!", "a cow"])
    measured = measure(predictions, [["a dog"]] * 4, known)
    figures = measured.figures(np.ones((1, 4)))
    assert (figures["length"][0], figures["copied"][0]) == (2.5, 0.5)
    counted = measured.counted()
    assert counted["vocabulary"][0] == 6 and counted["distinct"][0] == 0.75
    np.testing.assert_array_equal(counted["vocabulary"][1], [6, 6, 4, 4])  # without one picture
    np.testing.assert_allclose(counted["distinct"][1], [1, 1, 2 / 3, 2 / 3])


def test_figures_of_a_part_are_those_of_its_pictures_alone():
    predictions, references = drawn(20, 2)
    whole, part = measure(predictions, references), slice(5, 9)
    times = np.zeros((1, 20))
    times[0, part] = 1
    alone = measure(predictions[part], references[part])
    for name in (*bleu.NAMES, "rouge_l", "length"):
        expected = alone.figures(np.ones((1, 4)))[name]
        assert whole.figures(times)[name] == pytest.approx(expected)
        assert whole.take(np.arange(5, 9)).figures(np.ones((1, 4)))[name] == pytest.approx(expected)


# what METEOR's program says of two captions; the second is a perfect match, whose chunk does not count
METEOR_LINES = """
6 4 3 2 2 2 1 1 0 0 0 0 0 0 0 0 0 0 0 0 1 3 3
6 6 3 3 3 3 3 3 0 0 0 0 0 0 0 0 0 0 0 0 0 6 6
"""


def test_meteor_is_its_papers_formula():
    statistics = np.array([line.split() for line in METEOR_LINES.split("\n") if line], float)
    assert meteor.corpus(statistics[1]) == pytest.approx(1.0)
    # the first: delta 0.75 for content words; 2 content and 1 function word matched in one chunk
    precision, recall = (0.75 * 2 + 0.25 * 1) / (0.75 * 3 + 0.25 * 3), (0.75 * 2 + 0.25 * 1) / (0.75 * 2 + 0.25 * 2)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor.corpus(statistics[0]) == pytest.approx(mean * (1 - 0.6 * (1 / 3) ** 0.2))
    assert meteor.corpus(np.zeros(23)) == 0.0


def test_meteor_is_there_where_java_is():
    if shutil.which("java") is None:
        with pytest.raises(meteor.Unavailable, match="there is no Java here"):
            meteor.Program()
        return
    predictions, references = drawn(12, 2)
    program = meteor.Program()
    given = {row: [caption] for row, caption in enumerate(predictions)}
    expected, each = program._process.compute_score(dict(enumerate(references)), given)
    assert score(predictions, references, with_meteor=program)["meteor"] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(meteor.corpus(program.statistics(predictions, references)), each, atol=1e-9)


def test_without_java_meteor_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(meteor.Unavailable, match="METEOR is left out: there is no Java here"):
        meteor.Program()
