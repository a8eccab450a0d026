"""METEOR 1.5 for English, by its authors' program, where there is Java: Denkowski and Lavie 2014, W14-3348."""

import shutil
from collections.abc import Sequence

import numpy as np
from pycocoevalcap.meteor.meteor import Meteor

# of the program's option `-l en`: tuned parameters, and the weights of exact, stem, synonym and paraphrase matches
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
FIELDS, CHUNKS = 23, 20


class Unavailable(RuntimeError):
    """METEOR can't be computed here; the message says why."""


class Program:
    """The program in a process of its own, which takes some seconds and up to 2 GB of memory."""

    def __init__(self) -> None:
        """Starts it; it gets ready while others work.

        Raises:
          Unavailable: there is no Java.
        """
        if shutil.which("java") is None:
            raise Unavailable("METEOR is left out: there is no Java here")
        self._process = Meteor()

    def statistics(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """What METEOR needs to know of each picture.

        Args:
          captions: words between single spaces, [n].
          references: of each picture, in the same form.

        Returns:
          float64 [n, 23]: words of caption and reference, function words of both; for each of four matchers content
          words matched of caption and reference, function words likewise; chunks, 0 of a perfect match; words matched
          of caption and reference. They are of the reference with the best score.

        Raises:
          Unavailable: the program has ended, or says something else.
        """
        rows = []
        for caption, sentences in zip(captions, references, strict=True):
            try:
                said = self._process._stat(caption, list(sentences))
            except OSError as error:
                raise Unavailable(f"METEOR is left out: its program has ended ({error})") from error
            if len(said.split()) != FIELDS:
                raise Unavailable(f"METEOR is left out: its program said {said[:80]!r}")
            rows.append([float(number) for number in said.split()])
        found = np.array(rows).reshape(-1, FIELDS)
        whole = (found[:, 21:23] == found[:, 0:2]).all(axis=1) & (found[:, CHUNKS] == 1)
        found[whole, CHUNKS] = 0  # as the program does when it adds up: a perfect match has nothing to pay
        return found


def corpus(sums: np.ndarray) -> np.ndarray:
    """METEOR of a corpus.

    Args:
      sums: [..., 23], sums of `statistics` over the pictures.

    Returns:
      float64 [...], 0 to 1.
    """
    words, function_words = sums[..., 0:2], sums[..., 2:4]  # of caption and reference
    matched = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)  # matcher, content or function, caption or reference
    delta = np.array([DELTA, 1 - DELTA])[:, None]
    weighted = np.einsum("...mkc,m,kd->...c", matched, WEIGHTS, delta)
    lengths = DELTA * (words - function_words) + (1 - DELTA) * function_words
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(weighted / lengths, -1, 0)
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        fragments = sums[..., CHUNKS] / sums[..., 21:23].mean(axis=-1)
        score = mean * (1 - GAMMA * fragments**BETA)
    return np.nan_to_num(score)
