"""Dataset statistics of the last run: tables about the captions, and the TFDV visualization."""

import collections
import dataclasses
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pydantic
from rich.console import Console, Group
from rich.table import Table
from tensorflow_data_validation.utils.display_util import get_statistics_html
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.orchestration import metadata

from components.shared import record_files, records, storage
from components.shared.mlmd.runs import last_run_with, run_outputs
from components.shared.words import divide, split_words
from components.tokenizer.settings import TokenizerSettings
from pipeline.config import Config
from pipeline.errors import UserError

NUM_WORDS = 20  # most frequent words that are listed
WIDTH = 100  # columns of the tables in the file
STEPS = ("CaptionIngest", "StatisticsGen")


class DataNotFound(UserError):
    """No run has read its data yet."""


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of some captions.

    Attributes:
      counts: word -> number of its occurrences.
      lengths: number of words per caption, [captions].
    """

    counts: collections.Counter
    lengths: np.ndarray

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Words":
        """Counts the words, which are separated by white space."""
        split = [caption.split() for caption in captions]
        counts = collections.Counter(word for words in split for word in words)
        return cls(counts, np.array([len(words) for words in split], np.int64))


def write(handle: metadata.Metadata, config: Config, path: str) -> Group:
    """Writes the statistics of the last run's data as one HTML file.

    Args:
      handle: ML Metadata.
      config: the settings, of which the name and the root of the pipeline count; all others are those of the run.
      path: the path of the file.

    Returns:
      the tables, for the terminal.

    Raises:
      DataNotFound: no run has read its data yet.
    """
    run_id = last_run_with(handle, config.name, STEPS)
    if run_id is None:
        raise DataNotFound(f"no run of {config.name} has read its data yet; run it first, at least --to {STEPS[-1]}")
    outputs = run_outputs(handle, config.name, run_id, STEPS)
    captions, num_images = {}, {}
    for split in records.SPLITS:
        files = record_files.split_files(outputs["CaptionIngest"]["examples"], split)
        batches = list(
            record_files.read_examples(files, {records.CAPTIONS: record_files.EXAMPLE_SPEC[records.CAPTIONS]})
        )
        captions[split] = [text.decode() for batch in batches for text in batch[records.CAPTIONS].flat_values.numpy()]
        num_images[split] = sum(int(batch[records.CAPTIONS].nrows()) for batch in batches)
    tables = describe(captions, num_images, tokenizer_settings(config, run_id))
    uri = outputs["StatisticsGen"]["statistics"].uri
    storage.write_text(path, page(f"{config.name}, run {run_id}", tables, *(_read(uri, s) for s in records.SPLITS[:2])))
    return tables


def tokenizer_settings(config: Config, run_id: str) -> TokenizerSettings:
    """The tokenizer's settings in a run; the present ones if the run was killed before its summary."""
    try:
        values = storage.read_json(config.paths.run(run_id).summary)["config"]["tokenizer"]
        return pydantic.TypeAdapter(TokenizerSettings).validate_python(values)
    except (OSError, ValueError, KeyError, TypeError):
        return config.tokenizer


def describe(
    captions: Mapping[str, Sequence[str]], num_images: Mapping[str, int], tokenizer: TokenizerSettings
) -> Group:
    """The tables.

    Args:
      captions: split -> its captions.
      num_images: split -> number of its images.
      tokenizer: the tokenizer's settings.
    """
    cleaned = {split: [" ".join(split_words(text, tokenizer)) for text in texts] for split, texts in captions.items()}
    train = Words.of(cleaned[records.TRAIN])
    lengths = Table("split", "images", "captions", "words: min", "median", "mean", "95 %", "max", box=None)
    for split, texts in cleaned.items():
        lengths.add_row(split, str(num_images[split]), str(len(texts)), *_length_row(Words.of(texts).lengths))
    vocabulary = Table("vocabulary of train", "words", "unique", "seen once", "vocabulary coverage", box=None)
    raw = Words.of(" ".join(divide(text, tokenizer.unit)) for text in captions[records.TRAIN])
    for name, words in (("before cleaning", raw), ("after cleaning", train)):
        vocabulary.add_row(name, *_vocabulary_row(words, tokenizer.vocabulary_size))
    frequent = Table("most frequent words of train", "count", "% of captions", box=None)
    for word, count in train.counts.most_common(NUM_WORDS):
        num_captions = sum(word in text.split() for text in cleaned[records.TRAIN])
        frequent.add_row(word, str(count), f"{100 * num_captions / len(cleaned[records.TRAIN]):.0f}")
    return Group(lengths, "", vocabulary, "", frequent)


def page(
    title: str,
    tables: Group,
    train: statistics_pb2.DatasetFeatureStatisticsList,
    evaluation: statistics_pb2.DatasetFeatureStatisticsList,
) -> str:
    """The HTML file; its TFDV visualization, Facets, is loaded from the web when the file is opened."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(tables)
    texts = html.escape(console.export_text())
    visualization = get_statistics_html(train, evaluation, lhs_name=records.TRAIN, rhs_name=records.EVAL)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>:root { color-scheme: light dark; font-family: sans-serif }</style>\n"
        f"<h1>{html.escape(title)}</h1>\n<pre>{texts}</pre>\n"
        "<h2>Statistics</h2>\n<p>Visualized by TensorFlow Data Validation; its viewer, Facets, is loaded from the web."
        f"</p>\n{visualization}\n</html>\n"
    )


def _length_row(lengths: np.ndarray) -> list[str]:
    if not lengths.size:
        return ["–"] * 5
    median, percentile = np.median(lengths), np.percentile(lengths, 95)
    return [f"{lengths.min()}", f"{median:.0f}", f"{lengths.mean():.1f}", f"{percentile:.0f}", f"{lengths.max()}"]


def _vocabulary_row(words: Words, size: int) -> list[str]:
    total = sum(words.counts.values())
    num_covered = sum(count for _, count in words.counts.most_common(size))
    num_once = sum(count == 1 for count in words.counts.values())
    return [str(total), str(len(words.counts)), str(num_once), f"{100 * num_covered / max(total, 1):.1f} % by {size}"]


def _read(uri: str, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    data = storage.read_bytes(os.path.join(uri, f"Split-{split}", "FeatureStats.pb"))
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(data)
