"""Corpus BLEU by NLTK."""

import warnings
from collections.abc import Mapping, Sequence

from nltk.translate.bleu_score import corpus_bleu

ORDERS = (1, 2, 3, 4)
NAMES = tuple(f"bleu_{order}" for order in ORDERS)


def score(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Corpus BLEU-1 to BLEU-4 without smoothing, brevity by the closest reference: Papineni et al. 2002, P02-1040.

    Args:
      predictions: image id -> caption, words between spaces.
      references: image id -> sentences in the same form; all are compared with.

    Returns:
      "bleu_1" to "bleu_4", 0 to 1.

    Raises:
      KeyError: a picture has no references.
    """
    image_ids = sorted(predictions)
    candidates = [predictions[image_id].split() for image_id in image_ids]
    targets = [[sentence.split() for sentence in references[image_id]] for image_id in image_ids]
    weights = [(1.0 / order,) * order for order in ORDERS]
    with warnings.catch_warnings():
        # where no n-gram of an order matches, BLEU is 0; NLTK warns, and gives the square root of the least float or so
        warnings.simplefilter("ignore", UserWarning)
        figures = corpus_bleu(targets, candidates, weights)
    return {name: float(figure) if figure > 1e-9 else 0.0 for name, figure in zip(NAMES, figures, strict=True)}
