"""BLEU from the counts of each image, so that a corpus, a slice and a resample cost a sum.

Papineni et al. 2002, https://aclanthology.org/P02-1040. NLTK counts n-grams and chooses references; its own
`corpus_bleu` counts one n-gram for a caption that is too short to have any, unlike the paper and COCO's program.
Where a corpus has no match of an order, the paper's BLEU is 0; COCO's program, the source of published scores, gives a
small number, and so does this module.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from nltk.translate.bleu_score import closest_ref_length, modified_precision

ORDERS = (1, 2, 3, 4)
TINY, SMALL = 1e-15, 1e-9  # COCO's program adds them to numerators and denominators


def counts(caption: Sequence[Hashable], references: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Counts what BLEU needs of one image.

    Args:
      caption: the caption's words, or their IDs.
      references: the words of each reference; at least one.

    Returns:
      int64 [10]: matching n-grams of order 1 to 4, clipped by the references; all n-grams of these orders; the
      caption's length; the length of the reference that is closest in length, the shorter of two.
    """
    length = len(caption)
    totals = [max(0, length - order + 1) for order in ORDERS]
    matches = [
        modified_precision(references, caption, order).numerator if total else 0
        for order, total in zip(ORDERS, totals, strict=True)
    ]
    return np.array([*matches, *totals, length, closest_ref_length(references, length)], np.int64)


def corpus_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """The counts of each image, int64 [n, 10]; captions and references are words between single spaces."""
    pairs = zip(captions, references, strict=True)
    return np.stack([counts(caption.split(), [text.split() for text in texts]) for caption, texts in pairs])


def from_counts(sums: np.ndarray, max_order: int) -> np.ndarray:
    """Corpus BLEU as in COCO's program (Chen et al. 2015, https://arxiv.org/abs/1504.00325).

    Args:
      sums: sums of `counts` over the images, [..., 10].
      max_order: the highest order of n-grams: 4 for BLEU-4.

    Returns:
      float64 [...], 0 to 1.
    """
    precisions = (sums[..., :max_order] + TINY) / (sums[..., 4 : 4 + max_order] + SMALL)
    return _brevity(sums) * np.prod(precisions, axis=-1) ** (1 / max_order)


def smoothed_bleu_4(image_counts: np.ndarray) -> np.ndarray:
    """Smoothed BLEU-4 of single captions: one is added to matches and totals from order 2 on.

    Lin and Och 2004, https://aclanthology.org/C04-1072; NLTK's smoothing method 2.

    Args:
      image_counts: the `counts` of each image, [n, 10].

    Returns:
      float64 [n], 0 to 1.
    """
    smoothing = np.array([0, 1, 1, 1])
    matches, totals = image_counts[:, :4] + smoothing, image_counts[:, 4:8] + smoothing
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(matches > 0, np.log(matches / totals), -np.inf)
    return _brevity(image_counts) * np.exp(logarithms.mean(axis=1))


def _brevity(sums: np.ndarray) -> np.ndarray:
    """The brevity penalty: [..., 10] -> [...]."""
    ratio = (sums[..., 8] + TINY) / (sums[..., 9] + SMALL)
    return np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
