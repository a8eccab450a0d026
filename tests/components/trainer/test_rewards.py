import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider

from components.shared import bleu
from components.shared.records import END_ID, PAD_ID, START_ID
from components.trainer.rewards import CiderD, Rewards, without_start

VOCABULARY_SIZE = 9
LENGTH = 7


def random_captions(rng, num_captions):
    """Captions of 0 to 5 words, with repetitions: int32 [n, LENGTH]."""
    rows = np.full((num_captions, LENGTH), PAD_ID, np.int32)
    for row in rows:
        words = rng.integers(4, VOCABULARY_SIZE, rng.integers(0, LENGTH - 1))
        row[: len(words) + 2] = [START_ID, *words, END_ID]
    return rows


@pytest.fixture
def references():
    rng = np.random.default_rng(0)
    return [random_captions(rng, 1 + image % 4) for image in range(30)]


def text(row):
    return " ".join(str(word) for word in row if word not in (PAD_ID, START_ID))


def test_cider_d_is_that_of_pycocoevalcap(references):
    captions = random_captions(np.random.default_rng(1), len(references))
    expected = Cider().compute_score(
        {image: [text(row) for row in rows] for image, rows in enumerate(references)},
        {image: [text(row)] for image, row in enumerate(captions)},
    )[1]
    rewards = Rewards(CiderD(map(without_start, references), VOCABULARY_SIZE), references, bleu_4_weight=0.0)
    computed = rewards(np.arange(len(references)), captions[:, None, 1:])
    assert computed.shape == (30, 1) and computed.dtype == np.float32 and expected.max() > 2
    np.testing.assert_allclose(computed[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_captions_of_an_image_are_scored_one_by_one(references):
    cider_d = CiderD(map(without_start, references), VOCABULARY_SIZE)
    captions = without_start(random_captions(np.random.default_rng(2), 6))
    together = cider_d.score(captions, references[3])
    alone = [cider_d.score(captions[[row]], references[3])[0] for row in range(6)]
    np.testing.assert_allclose(together, alone)


def test_an_ngram_of_no_document_has_the_highest_weight():
    documents = [np.array([[4, 5, 3]]), np.array([[4, 6, 3]])]
    cider_d = CiderD(documents, VOCABULARY_SIZE)
    reference = np.array([[7, 8, 3]])
    assert cider_d.score(reference, reference) == pytest.approx([7.5])  # it has no n-grams of order 4


def test_the_end_counts_as_a_word(references):
    cider_d = CiderD(map(without_start, references), VOCABULARY_SIZE)
    reference = np.array([[4, 5, 6, END_ID]])
    whole, cut = np.array([[4, 5, 6, END_ID]]), np.array([[4, 5, 6, PAD_ID]])
    assert cider_d.score(whole, reference) > cider_d.score(cut, reference)


def test_bleu_4_is_added_with_its_weight(references):
    cider_d = CiderD(map(without_start, references), VOCABULARY_SIZE)
    captions = without_start(random_captions(np.random.default_rng(3), 2))[None]
    alone, mixed = (Rewards(cider_d, references, weight)([5], captions) for weight in (0.0, 2.0))
    words = [[int(word) for word in row if word > END_ID] for row in references[5]]
    counts = np.stack([bleu.counts([int(word) for word in row if word > END_ID], words) for row in captions[0]])
    np.testing.assert_allclose(mixed - alone, [2 * bleu.smoothed_bleu_4(counts)], atol=1e-5)


def test_no_images_have_no_rewards(references):
    rewards = Rewards(CiderD(map(without_start, references), VOCABULARY_SIZE), references, bleu_4_weight=1.0)
    assert rewards(np.zeros(0, np.int32), np.zeros((0, 5, LENGTH), np.int32)).shape == (0, 5)
