import io

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from rich.console import Console
from tfx.orchestration import metadata

from components.shared.storage import write_text
from components.tokenizer.settings import TokenizerSettings
from pipeline import data_report
from pipeline.config import Config
from pipeline.data_report import Words
from tests.fake_mlmd import memory_connection

CAPTIONS = {"train": ["A dog !", "a big Dog", "a CAT"], "eval": ["two dogs run"], "test": []}


def rows_of(tables) -> list[list[str]]:
    stream = io.StringIO()
    Console(file=stream, width=data_report.WIDTH).print(tables)
    return [line.split() for line in stream.getvalue().splitlines()]


@pytest.fixture(scope="module")
def tables():
    return data_report.describe(CAPTIONS, {"train": 2, "eval": 1, "test": 0}, TokenizerSettings(vocabulary_size=2))


def test_words_are_separated_by_white_space():
    words = Words.of(["a dog", "a  cat sleeps", ""])
    assert words.counts == {"a": 2, "dog": 1, "cat": 1, "sleeps": 1}
    np.testing.assert_array_equal(words.lengths, [2, 3, 0])


def test_lengths_are_those_of_the_cleaned_captions(tables):
    rows = {row[0]: row[1:] for row in rows_of(tables) if row}
    assert rows["train"] == ["2", "3", "2", "2", "2.3", "3", "3"]
    assert rows["eval"] == ["1", "1", "3", "3", "3.0", "3", "3"]
    assert rows["test"] == ["0", "0", *"–––––"]


def test_the_vocabulary_before_and_after_cleaning(tables):
    rows = rows_of(tables)
    # A, dog, !, a (twice), big, Dog, CAT; then a (3), dog (2), big, cat
    assert ["before", "cleaning", "8", "7", "6", "37.5", "%", "by", "2"] in rows
    assert ["after", "cleaning", "7", "4", "2", "71.4", "%", "by", "2"] in rows


@pytest.mark.parametrize(
    ("unit", "lengths", "before", "after"),
    [
        # of nine words, cleaning takes a full stop and a comma
        ("auto", ["3", "4", "3.5", "4", "4"], ["9", "6", "4"], ["7", "4", "2"]),
        ("word", ["1", "2", "1.5", "2", "2"], ["3", "3", "3"], ["3", "3", "3"]),
    ],
)
def test_letters_of_scripts_without_blanks_are_counted(unit, lengths, before, after):
    captions = {"train": ["狗在跑。", "2狗, 狗在"], "eval": [], "test": []}
    settings = TokenizerSettings(unit=unit, vocabulary_size=9)
    rows = rows_of(data_report.describe(captions, {"train": 2, "eval": 0, "test": 0}, settings))
    found = {row[0]: row for row in rows if row}
    assert (found["train"][3:], found["before"][2:5], found["after"][2:5]) == (lengths, before, after)


def test_the_most_frequent_words_come_first(tables):
    rows = rows_of(tables)
    first = rows.index(["most", "frequent", "words", "of", "train", "count", "%", "of", "captions"])
    assert rows[first + 1 : first + 3] == [["a", "3", "100"], ["dog", "2", "67"]]


def test_the_page_is_one_file_with_tables_and_visualization(tables):
    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"width": [3, 4]}), n_jobs=1)
    page = data_report.page("mine <b>", tables, statistics, statistics)
    assert page.startswith("<!doctype html>") and "mine &lt;b&gt;" in page
    assert "most frequent words of train" in page and "facets-overview" in page


def test_without_a_run_there_are_no_statistics(tmp_path):
    with (
        metadata.Metadata(memory_connection()) as handle,
        pytest.raises(data_report.DataNotFound, match="no run of mine has read its data yet"),
    ):
        data_report.write(handle, Config(name="mine", root=str(tmp_path)), str(tmp_path / "x.html"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("summary", [None, "", "[]", "{}", '{"config": {"tokenizer": null}}'])
def test_the_vocabulary_size_is_that_of_the_run(tmp_path, summary):
    config = Config(root=str(tmp_path), tokenizer=TokenizerSettings(vocabulary_size=7))
    write_text(str(tmp_path / "runs" / "r1" / "summary.json"), '{"config": {"tokenizer": {"vocabulary_size": 99}}}')
    assert data_report.tokenizer_settings(config, "r1").vocabulary_size == 99
    if summary is not None:
        write_text(str(tmp_path / "runs" / "r2" / "summary.json"), summary)
    assert data_report.tokenizer_settings(config, "r2").vocabulary_size == 7
