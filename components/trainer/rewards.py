"""Rewards of captions in self-critical training, from the token IDs of captions and references."""

from collections.abc import Iterable, Sequence

import numpy as np

from components.shared import bleu
from components.shared.records import END_ID, PAD_ID

ORDERS = np.arange(1, 5)  # of n-grams
SIGMA = 6.0  # of the Gaussian penalty on differences in length
SCALE = 10.0


class CiderD:
    """CIDEr-D (Vedantam et al. 2015, section 5, https://arxiv.org/abs/1411.5726), as `pycocoevalcap` computes it.

    That package takes the frequencies of n-grams from the references of the captions that it scores; those of a batch
    have to come from the whole train split.
    """

    def __init__(self, documents: Iterable[np.ndarray], vocabulary_size: int):
        """Counts in how many documents each n-gram occurs.

        Args:
          documents: the references of each image, int [m, L], rows of words padded at the end.
          vocabulary_size: a number greater than all IDs.
        """
        self._base = np.uint64(vocabulary_size)
        per_document = [np.unique(self._ngrams(references)) for references in documents]
        codes, frequencies = np.unique(np.concatenate(per_document), return_counts=True)
        self._codes, self._idf = codes, np.log(len(per_document)) - np.log(frequencies)
        self._idf_of_unseen = np.log(len(per_document))

    @property
    def is_informative(self) -> bool:
        """Whether an n-gram tells images apart; else all scores are 0."""
        return bool(self._idf.any())

    def score(self, captions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Scores captions of one image.

        Args:
          captions: int [n, L], rows of words padded at the end.
          references: int [m, L'].

        Returns:
          float64 [n], 0 to 10.
        """
        counts, order, idf = self._count(captions, references)  # (n+m, U), (U,), (U,)
        vectors, of_order = counts * idf, (order[:, None] == ORDERS).astype(np.float64)  # (n+m, U), (U, 4)
        norms = np.sqrt(vectors**2 @ of_order)  # (n+m, 4)
        lengths = counts @ of_order[:, 1]  # in bigrams: (n+m,)
        (caption, reference), (norm, other_norm), (length, other_length) = (
            (rows[: len(captions), None], rows[None, len(captions) :]) for rows in (vectors, norms, lengths)
        )
        overlap = (np.minimum(caption, reference) * reference) @ of_order  # (n, m, 4)
        norm_product = norm * other_norm
        similarity = np.divide(overlap, norm_product, out=np.zeros_like(overlap), where=norm_product > 0)
        penalty = np.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))  # (n, m)
        return SCALE * (similarity.mean(axis=2) * penalty).mean(axis=1)

    def _count(self, captions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts of the n-grams of each row, [n+m, U], and the order and the idf of each n-gram, [U]."""
        length = max(captions.shape[1], references.shape[1])
        rows = [np.pad(part, ((0, 0), (0, length - part.shape[1]))) for part in (captions, references)]
        ngrams = self._ngrams(np.concatenate(rows))  # (n+m, 4, L)
        codes, first, inverse = np.unique(ngrams, return_index=True, return_inverse=True)
        counts = np.zeros((len(ngrams), len(codes)))
        np.add.at(counts, (np.arange(len(ngrams))[:, None], inverse.reshape(len(ngrams), -1)), 1.0)
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        idf = np.where(self._codes[place] == codes, self._idf[place], self._idf_of_unseen)
        is_ngram = codes != 0
        return counts[:, is_ngram], (first // length % len(ORDERS) + 1)[is_ngram], idf[is_ngram]

    def _ngrams(self, rows: np.ndarray) -> np.ndarray:
        """Codes of the n-grams of orders 1 to 4 that begin at each position: int [m, L] -> uint64 [m, 4, L].

        An n-gram is read as a number with its IDs as digits, none of which is 0; 0 is where none begins.
        """
        length = rows.shape[1]
        ids = np.pad(rows, ((0, 0), (0, len(ORDERS)))).astype(np.uint64)
        codes = [ids[:, :length]]
        for order in ORDERS[1:]:
            following = ids[:, order - 1 : order - 1 + length]
            codes.append(np.where(following != PAD_ID, codes[-1] * self._base + following, np.uint64(0)))
        return np.stack(codes, axis=1)


class Rewards:
    """CIDEr-D, and if wanted BLEU-4, of captions for the images of a split.

    <end> counts as a word: else captions that stop in the middle, as "a dog on a", would have the highest rewards
    (Luo 2020, https://arxiv.org/abs/2003.09971).
    """

    def __init__(self, cider_d: CiderD, references: Sequence[np.ndarray], bleu_4_weight: float):
        """Initializes the rewards.

        Args:
          cider_d: CIDEr-D with the train split's n-grams.
          references: the references of each image, int [m, T], with <start>, <end> and padding.
          bleu_4_weight: the weight of smoothed BLEU-4 beside that of CIDEr-D, 1.
        """
        self._cider_d, self._bleu_4_weight = cider_d, bleu_4_weight
        self._references = [without_start(captions) for captions in references]

    def __call__(self, images: np.ndarray, captions: np.ndarray) -> np.ndarray:
        """Computes the reward of each caption.

        Args:
          images: the images' indices in `references`, int [P]; P may be 0, as on a device without a part of a batch.
          captions: several for each image, int [P, n, L], without <start>.

        Returns:
          float32 [P, n].
        """
        rewards = np.empty(captions.shape[:2], np.float32)
        for row, image in enumerate(images):
            rewards[row] = self._of_image(captions[row], self._references[image])
        return rewards

    def _of_image(self, captions: np.ndarray, references: np.ndarray) -> np.ndarray:
        rewards = self._cider_d.score(captions, references)
        if self._bleu_4_weight:
            words = [_words(row) for row in references]
            counts = np.stack([bleu.counts(_words(row), words) for row in captions])
            rewards = rewards + self._bleu_4_weight * bleu.smoothed_bleu_4(counts)
        return rewards


def without_start(captions: np.ndarray) -> np.ndarray:
    """Captions without the <start> that they begin with: int [m, T] -> int [m, T-1]."""
    return captions[:, 1:]


def _words(row: np.ndarray) -> list[int]:
    return [int(word) for word in row if word not in (PAD_ID, END_ID)]
