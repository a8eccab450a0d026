"""The figures of a model's captions: how close they are to people's, how long, and how varied.

Each figure is a function of numbers that are known for each picture, so that a slice and a resample cost a sum.
"""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from components.bleu_evaluator import bleu, meteor
from components.bleu_evaluator.tokenization import tokenize

CIDER, ROUGE_L, METEOR = "cider", "rouge_l", "meteor"
LENGTH, COPIED = "length", "copied"  # words a caption; share of captions that stand in train word by word
DISTINCT, VOCABULARY = "distinct", "vocabulary"  # share of distinct captions; number of distinct words used
QUALITY = (*bleu.NAMES, CIDER, ROUGE_L, METEOR)  # the more the better


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What is known of one model's captions, picture by picture.

    Attributes:
      captions: their words between single spaces, [n].
      bleu: int64 [n, 10], see `bleu.counts`.
      means: metric -> float64 [n], for the metrics that are a mean over pictures.
      meteor: float64 [n, 23], see `meteor.Program`; None without it.
    """

    captions: tuple[str, ...]
    bleu: np.ndarray
    means: Mapping[str, np.ndarray]
    meteor: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, rows: np.ndarray) -> "Measurement":
        """The part with the given rows, int [m]."""
        return Measurement(
            tuple(self.captions[row] for row in rows),
            self.bleu[rows],
            {name: values[rows] for name, values in self.means.items()},
            None if self.meteor is None else self.meteor[rows],
        )

    def figures(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics of pictures taken several times each.

        Args:
          times: how often each picture is taken, [R, n].

        Returns:
          metric -> float64 [R]; those of `counted` are not among them.
        """
        times = times.astype(np.float64)
        found = dict(zip(bleu.NAMES, bleu.corpus(times @ self.bleu).T, strict=True))
        total = times.sum(axis=1)
        found |= {name: times @ values / total for name, values in self.means.items()}
        if self.meteor is not None:
            found[METEOR] = meteor.corpus(times @ self.meteor)
        return found

    def counted(self) -> dict[str, tuple[float, np.ndarray]]:
        """The metrics that count distinct things, of which a resample, short of a third of the pictures, has too few.

        Returns:
          metric -> (value, float64 [n]: the value when one picture is left out).
        """
        words = collections.Counter(word for caption in self.captions for word in set(caption.split()))
        once = [sum(words[word] == 1 for word in set(caption.split())) for caption in self.captions]
        captions = collections.Counter(self.captions)
        alone = [captions[caption] == 1 for caption in self.captions]
        n = len(self)
        return {
            VOCABULARY: (float(len(words)), len(words) - np.array(once, np.float64)),
            DISTINCT: (len(captions) / n, (len(captions) - np.array(alone, np.float64)) / max(n - 1, 1)),
        }


def measure(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    training_captions: Collection[str] = (),
    with_meteor: meteor.Program | None = None,
) -> Measurement:
    """Compares captions with people's, all in the words of `tokenization.tokenize`.

    BLEU is of the corpus, brevity by the closest reference. CIDEr (Vedantam et al. 2015, arXiv:1411.5726, the variant D
    of COCO's server, 0 to 10) takes the test references for the corpus that tells rare words. ROUGE-L: Lin 2004,
    W04-1013.

    Args:
      predictions: a caption a picture, [n].
      references: the raw sentences of people of each picture, [n], at least one each.
      training_captions: see `known_captions`.
      with_meteor: computes METEOR, too.

    Raises:
      ValueError: there are no pictures, or one has no reference with a word in it.
    """
    words = [tokenize(prediction) for prediction in predictions]
    wanted = [[found for found in map(tokenize, sentences) if found] for sentences in references]
    if not words or not all(wanted):
        raise ValueError("nothing to compare with: there are no test pictures, or one without references")
    captions = tuple(map(" ".join, words))
    texts = {row: [" ".join(sentence) for sentence in sentences] for row, sentences in enumerate(wanted)}
    given = {row: [caption] for row, caption in enumerate(captions)}
    return Measurement(
        captions,
        np.stack([bleu.counts(caption, sentences) for caption, sentences in zip(words, wanted, strict=True)]),
        {
            CIDER: np.asarray(Cider().compute_score(texts, given)[1], np.float64),
            ROUGE_L: np.asarray(Rouge().compute_score(texts, given)[1], np.float64),
            LENGTH: np.array([len(caption) for caption in words], np.float64),
            COPIED: np.array([caption in training_captions for caption in captions], np.float64),
        },
        with_meteor.statistics(captions, list(texts.values())) if with_meteor else None,
    )


def known_captions(sentences: Collection[str]) -> frozenset[str]:
    """The captions of train in the form that predictions are compared in."""
    return frozenset(" ".join(tokenize(sentence)) for sentence in sentences)
