"""BLEU from the counts of each picture, so that a corpus, a slice and a resample cost a sum.

Papineni et al. 2002, https://aclanthology.org/P02-1040. n-grams are counted and references chosen by NLTK; NLTK's own
`corpus_bleu` counts one n-gram for a caption that is too short to have any, which neither the paper nor COCO's does.
Where a corpus has no match of an order, the paper's BLEU is 0; COCO's program, which published figures come from, gives
a small number, and so do we.
"""

from collections.abc import Sequence

import numpy as np
from nltk.translate.bleu_score import closest_ref_length, modified_precision

ORDERS = (1, 2, 3, 4)
NAMES = tuple(f"bleu_{order}" for order in ORDERS)
TINY, SMALL = 1e-15, 1e-9  # COCO's program adds them to numerators and denominators


def counts(caption: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """What BLEU needs to know of one picture.

    Args:
      caption: its words.
      references: words of each; at least one.

    Returns:
      int64 [10]: matches of n-grams of order 1 to 4, clipped by the references; n-grams of these orders; the caption's
      length; the length of the reference that is closest in length, the shorter one of two.
    """
    length = len(caption)
    totals = [max(0, length - order + 1) for order in ORDERS]
    matches = [
        modified_precision(references, caption, order).numerator if total else 0
        for order, total in zip(ORDERS, totals, strict=True)
    ]
    return np.array([*matches, *totals, length, closest_ref_length(references, length)], np.int64)


def corpus(sums: np.ndarray) -> np.ndarray:
    """Corpus BLEU-1 to BLEU-4 as COCO's program has it (Chen et al. 2015, https://arxiv.org/abs/1504.00325).

    Args:
      sums: [..., 10], sums of `counts` over the pictures.

    Returns:
      float64 [..., 4], 0 to 1.
    """
    precisions = (sums[..., :4] + TINY) / (sums[..., 4:8] + SMALL)
    return _brevity(sums)[..., None] * np.cumprod(precisions, axis=-1) ** (1 / np.array(ORDERS))


def sentences(of_pictures: np.ndarray) -> np.ndarray:
    """Smoothed BLEU-4 of single captions: one is added to matches and totals from order 2 on.

    Lin and Och 2004, https://aclanthology.org/C04-1072; NLTK's smoothing method 2.

    Args:
      of_pictures: [n, 10], of `counts`.

    Returns:
      float64 [n], 0 to 1.
    """
    more = np.array([0, 1, 1, 1])
    matches, totals = of_pictures[:, :4] + more, of_pictures[:, 4:8] + more
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(matches > 0, np.log(matches / totals), -np.inf)
    return _brevity(of_pictures) * np.exp(logarithms.mean(axis=1))


def _brevity(sums: np.ndarray) -> np.ndarray:
    """The brevity penalty: [..., 10] -> [...]."""
    ratio = (sums[..., 8] + TINY) / (sums[..., 9] + SMALL)
    return np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
