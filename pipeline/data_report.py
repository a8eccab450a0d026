"""What the data of the last run is like: TFDV's picture of it, and tables about the captions."""

import collections
import dataclasses
import html
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from rich.console import Console, Group
from rich.table import Table
from tensorflow_data_validation.utils.display_util import get_statistics_html
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio
from tfx.orchestration import metadata

from components import records
from components.atomic import write_text
from components.tokenizer.cleaning import clean
from pipeline import lineage
from pipeline.config import Config
from pipeline.local_run import SUMMARY

COMMONEST = 20  # words that are listed
WIDTH = 100  # columns of the tables in the file
STEPS = ("CaptionIngest", "StatisticsGen")


class NoData(ValueError):
    """There is no run whose data could be described."""


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of some captions.

    Attributes:
      counts: word -> how often it is there.
      lengths: words of each caption, [captions].
    """

    counts: collections.Counter
    lengths: np.ndarray

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Words":
        """Counts what stands between blanks."""
        split = [caption.split() for caption in captions]
        counts = collections.Counter(word for words in split for word in words)
        return cls(counts, np.array([len(words) for words in split], np.int64))


def write(handle: metadata.Metadata, config: Config, path: str) -> Group:
    """Writes the report of the last run's data as one HTML file.

    Args:
      handle: ML Metadata.
      config: name and root of the pipeline; all else is as the run had it.
      path: of the file.

    Returns:
      the tables, for the terminal.

    Raises:
      NoData: no run has come so far.
    """
    run_id = lineage.last_run_with(handle, config.name, STEPS)
    if run_id is None:
        raise NoData(f"no run of {config.name} has read its data yet: run it first, at least --to {STEPS[-1]}")
    outputs = lineage.run_outputs(handle, config.name, run_id, STEPS)
    captions, pictures = {}, {}
    for split in records.SPLITS:
        files = records.split_files(outputs["CaptionIngest"]["examples"], split)
        batches = list(records.read_examples(files, {records.CAPTIONS: records.EXAMPLE_SPEC[records.CAPTIONS]}))
        captions[split] = [text.decode() for batch in batches for text in batch[records.CAPTIONS].flat_values.numpy()]
        pictures[split] = sum(int(batch[records.CAPTIONS].nrows()) for batch in batches)
    tables = describe(captions, pictures, vocabulary_size(config, run_id))
    uri = outputs["StatisticsGen"]["statistics"].uri
    write_text(path, page(f"{config.name}, run {run_id}", tables, *(_read(uri, s) for s in records.SPLITS[:2])))
    return tables


def vocabulary_size(config: Config, run_id: str) -> int:
    """The tokenizer's, as set in a run; as it is set now where the run was killed before it wrote its summary."""
    try:
        with open(os.path.join(config.root_dir, "runs", run_id, SUMMARY)) as file:
            return int(json.load(file)["config"]["tokenizer"]["vocabulary_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return config.tokenizer.vocabulary_size


def describe(captions: Mapping[str, Sequence[str]], pictures: Mapping[str, int], vocabulary_size: int) -> Group:
    """The tables.

    Args:
      captions: split -> its captions.
      pictures: split -> how many pictures it has.
      vocabulary_size: of the tokenizer.
    """
    cleaned = {split: _cleaned(texts) for split, texts in captions.items()}
    train = Words.of(cleaned[records.TRAIN])
    vocabulary = Table("vocabulary of train", "words", "different", "seen once", "share of the commonest", box=None)
    for name, words in (("before cleaning", Words.of(captions[records.TRAIN])), ("after cleaning", train)):
        vocabulary.add_row(name, *_vocabulary_row(words, vocabulary_size))
    lengths = Table("split", "pictures", "captions", "words: least", "median", "mean", "95 %", "most", box=None)
    for split, texts in cleaned.items():
        found = Words.of(texts).lengths
        figures = [f"{found.min()}", f"{np.median(found):.0f}", f"{found.mean():.1f}"] if found.size else ["–"] * 3
        figures += [f"{np.percentile(found, 95):.0f}", f"{found.max()}"] if found.size else ["–"] * 2
        lengths.add_row(split, str(pictures[split]), str(len(texts)), *figures)
    common = Table("commonest words of train", "times", "captions of 100", box=None)
    for word, times in train.counts.most_common(COMMONEST):
        within = sum(word in text.split() for text in cleaned[records.TRAIN])
        common.add_row(word, str(times), f"{100 * within / len(cleaned[records.TRAIN]):.0f}")
    return Group(lengths, "", vocabulary, "", common)


def page(
    title: str,
    tables: Group,
    train: statistics_pb2.DatasetFeatureStatisticsList,
    evaluation: statistics_pb2.DatasetFeatureStatisticsList,
) -> str:
    """The HTML file; TFDV's picture in it loads its program, Facets, from the web when it is opened."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(tables)
    texts = html.escape(console.export_text())
    picture = get_statistics_html(train, evaluation, lhs_name=records.TRAIN, rhs_name=records.EVAL)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>:root { color-scheme: light dark; font-family: sans-serif }</style>\n"
        f"<h1>{html.escape(title)}</h1>\n<pre>{texts}</pre>\n"
        "<h2>Statistics</h2>\n<p>Of TensorFlow Data Validation; Facets, which draws them, is loaded from the web.</p>\n"
        f"{picture}\n</html>\n"
    )


def _vocabulary_row(words: Words, size: int) -> list[str]:
    total = sum(words.counts.values())
    kept = sum(times for _, times in words.counts.most_common(size))
    once = sum(times == 1 for times in words.counts.values())
    return [str(total), str(len(words.counts)), str(once), f"{size}: {100 * kept / max(total, 1):.1f} %"]


def _cleaned(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    return [text.decode() for text in clean(tf.constant(list(texts))).numpy()]


def _read(uri: str, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    with fileio.open(os.path.join(uri, f"Split-{split}", "FeatureStats.pb"), "rb") as file:
        return statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read())
