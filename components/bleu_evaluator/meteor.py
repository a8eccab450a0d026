"""METEOR 1.5 for English by its authors' Java program: Denkowski and Lavie 2014, https://aclanthology.org/W14-3348."""

import shutil
from collections.abc import Sequence

import numpy as np
from pycocoevalcap.meteor.meteor import Meteor

from components.bleu_evaluator.metrics import MetricFailed, MetricUnavailable

# of the option `-l en`: tuned parameters, and the weights of exact, stem, synonym and paraphrase matches
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
FIELDS, CHUNKS = 23, 20


def check() -> None:
    """Checks that the program can run here.

    Raises:
      MetricUnavailable: Java is not installed.
    """
    if shutil.which("java") is None:
        raise MetricUnavailable("METEOR is not computed: Java is not installed")


class Program:
    """The program in a process of its own, which takes a few seconds to start and up to 2 GB of memory."""

    def __init__(self) -> None:
        """Starts the process, and does not wait until it is ready.

        Raises:
          MetricUnavailable: Java is not installed.
        """
        check()
        self._process = Meteor()

    def statistics(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """Computes METEOR's statistics of each image.

        Args:
          captions: words between single spaces, [n].
          references: the references of each image in the same form.

        Returns:
          float64 [n, 23], for the best-scoring reference: words of caption and reference; function words of both; for
          each of four matchers the matched content words of caption and reference, and the matched function words;
          chunks, 0 for a perfect match; matched words of caption and reference.

        Raises:
          MetricFailed: the program has exited, or its answer has another form.
        """
        rows = []
        for caption, sentences in zip(captions, references, strict=True):
            try:
                answer = self._process._stat(caption, list(sentences))
            except OSError as error:
                raise MetricFailed(f"METEOR is not computed: its program has exited ({error})") from error
            if len(answer.split()) != FIELDS:
                raise MetricFailed(f"METEOR is not computed: its program answered {answer[:80]!r}")
            rows.append([float(number) for number in answer.split()])
        statistics = np.array(rows).reshape(-1, FIELDS)
        is_perfect = (statistics[:, 21:23] == statistics[:, 0:2]).all(axis=1) & (statistics[:, CHUNKS] == 1)
        statistics[is_perfect, CHUNKS] = 0  # as in the program's own aggregation: a perfect match has no penalty
        return statistics


def corpus_score(sums: np.ndarray) -> np.ndarray:
    """METEOR of a corpus.

    Args:
      sums: sums of `statistics` over the images, [..., 23].

    Returns:
      float64 [...], 0 to 1.
    """
    words, function_words = sums[..., 0:2], sums[..., 2:4]  # [..., (caption, reference)]
    # [..., matcher, (content words, function words), (caption, reference)]
    matched = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)
    delta = np.array([DELTA, 1 - DELTA])[:, None]
    weighted = np.einsum("...mkc,m,kd->...c", matched, WEIGHTS, delta)
    lengths = DELTA * (words - function_words) + (1 - DELTA) * function_words
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(weighted / lengths, -1, 0)
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        fragments = sums[..., CHUNKS] / sums[..., 21:23].mean(axis=-1)
        score = mean * (1 - GAMMA * fragments**BETA)
    return np.nan_to_num(score)
