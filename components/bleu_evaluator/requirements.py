"""What the rules and the metrics need: checked before a model is trained for them, and part of the cache key."""

import hashlib
import json
import os
from collections.abc import Collection

from components.bleu_evaluator import clip_score, meteor, ptb, spice
from components.bleu_evaluator.metrics import METEOR, METRICS, PTB, REF_CLIP_SCORE, SPICE, MetricUnavailable
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared import storage


def check(settings: BleuEvaluatorSettings) -> None:
    """Checks that the metrics of the rules can be computed on this machine.

    Raises:
      ValueError: they cannot; the message names the setting.
    """
    if settings.tokenizer == PTB:
        try:
            ptb.check()
        except MetricUnavailable as error:
            raise ValueError(f"evaluator.tokenizer: {error}") from None
    if METEOR in settings.max_regression:
        try:
            meteor.check()
        except MetricUnavailable as error:
            raise ValueError(f"evaluator.max_regression.{METEOR}: {error}") from None
    if METRICS[REF_CLIP_SCORE].is_wanted(settings):
        clip_score.check(settings.clip_dir)
    if METRICS[SPICE].is_wanted(settings):
        try:
            spice.check(settings.spice_dir)
        except (OSError, ValueError, MetricUnavailable) as error:
            raise ValueError(f"evaluator.spice_dir: {error}") from None


def fingerprint(settings: BleuEvaluatorSettings) -> str:
    """Hash of what metrics read in `evaluator.clip_dir` and `evaluator.spice_dir`; "" where neither is set.

    Files on a disk count by their content, objects in a bucket by what a listing says of them.

    Raises:
      OSError: a file is there and can't be read, or the object store does not answer.
    """
    directories = [(settings.clip_dir, None), (settings.spice_dir, spice.JARS)]
    files = [_files(directory, names) for directory, names in directories if directory is not None]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest() if files else ""


def _files(directory: str, names: Collection[str] | None) -> list[tuple[str, ...]]:
    """Names and versions of the files below a directory, all unless some are named."""
    entries = storage.list_entries(directory)
    chosen = sorted(name for name in entries if names is None or name in names)
    if storage.is_local(directory):
        return [(name, storage.sha256(os.path.join(directory, name))) for name in chosen]
    return [(name, str(entries[name].size), entries[name].version) for name in chosen]
