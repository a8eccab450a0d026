"""SPICE: what it needs, and how its program is called; the parser that it needs can't be had in a test."""

import json
import pathlib
import shutil

import pytest

from components.bleu_evaluator import spice
from components.bleu_evaluator.metrics import METRICS, PTB, Corpus, MetricFailed, MetricUnavailable
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared.evaluations import CANDIDATE
from tests.components.bleu_evaluator.factories import new_evaluation

CAPTIONS, REFERENCES = ["a dog runs", "ein m\u00e4dchen"], [["a dog", "the dog 's run"], [""]]
# stands in for Java and its programs: the PTB tokenizer, of which it repeats the input, and SPICE, of which it writes
# down the input and answers in another order
STAND_IN = """
if [ "$1" = -version ]; then echo 'openjdk version "{version}"' >&2; exit 0; fi
if [ "$1" = -cp ]; then exec cat; fi
cp "$5" "{directory}/input.json"
echo "$@" > "{directory}/arguments"
while [ "$1" != -out ]; do shift; done
echo '[{{"image_id": 1, "scores": {{"All": {{"f": {score}}}, "Color": {{"f": null}}}}}},' > "$2"
echo ' {{"image_id": 0, "scores": {{"All": {{"f": 0.75, "pr": 1.0}}}}}}]' >> "$2"
"""


@pytest.fixture
def models(tmp_path) -> pathlib.Path:
    """Empty files in place of Stanford CoreNLP's."""
    directory = tmp_path / "models"
    directory.mkdir()
    for name in spice.JARS:
        (directory / name).touch()
    return directory


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a stand-in for Java first on the PATH."""

    def put(version: str, score: str = "0.0") -> pathlib.Path:
        java = tmp_path / "java"
        java.write_text("#!/bin/sh\n" + STAND_IN.format(version=version, directory=tmp_path, score=score))
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    return put


def test_a_directory_that_lacks_files_is_refused_with_where_they_come_from(models):
    with pytest.raises(MetricUnavailable, match=r"^SPICE is not computed: set evaluator\.spice_dir$"):
        spice.check(None)
    (models / spice.JARS[1]).unlink()
    message = rf"{models} lacks stanford-corenlp-3\.6\.0-models\.jar, of https://nlp\.stanford\.edu/software/.*\.zip$"
    with pytest.raises(MetricUnavailable, match=message):
        spice.check(str(models))


@pytest.mark.parametrize(("version", "number"), [("1.8.0_422", 8), ("11.0.2", 11), ("17.0.15", 17), ("21", 21)])
def test_java_must_have_a_javascript_engine(stand_in, models, version, number):
    stand_in(version)
    if number <= 14:
        spice.check(str(models))
        return
    with pytest.raises(MetricUnavailable, match=rf"it needs Java 8 to 14, and this is Java {number}$"):
        spice.check(str(models))


def test_without_java_it_is_refused(models, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MetricUnavailable, match="SPICE is not computed: Java is not installed"):
        spice.check(str(models))


def test_the_program_gets_the_words_of_cocos_server_and_its_f_scores_are_read(stand_in, models):
    directory = stand_in("11.0.2")
    metric, settings = METRICS["spice"], BleuEvaluatorSettings(spice_dir=str(models))
    assert metric.words == PTB and metric.is_wanted(settings) and not metric.is_wanted(BleuEvaluatorSettings())
    corpus = Corpus(CAPTIONS, REFERENCES, resources={"spice": metric.setup(settings)})
    assert metric.per_image(corpus) == [0.75, 0.0]
    text = (directory / "input.json").read_text()
    assert text.isascii() and json.loads(text) == [
        {"image_id": 0, "test": "a dog runs", "refs": ["a dog", "the dog 's run"]},
        {"image_id": 1, "test": "ein mädchen", "refs": [""]},
    ]
    arguments = (directory / "arguments").read_text().split()
    assert str(models / spice.JARS[1]) in arguments[2].split(":") and arguments[3] == "edu.anu.spice.SpiceScorer"
    assert arguments[-2:] == ["-subset", "-silent"]


@pytest.mark.parametrize("score", ["null", "NaN"])
def test_an_image_without_an_f_score_counts_as_0(stand_in, models, score):
    stand_in("11.0.2", score=score)
    assert spice.Program(str(models)).scores(CAPTIONS, REFERENCES) == [0.75, 0.0]


@pytest.mark.parametrize(("settings", "has_variants"), [({"ptb": False}, False), ({"tokenizer": "ptb"}, True)])
def test_the_other_metrics_have_its_words_only_if_they_are_wanted(stand_in, models, settings, has_variants):
    stand_in("11.0.2")
    evaluated = new_evaluation({"a.jpg": ["a dog"], "b.jpg": ["a cat"]}, spice_dir=str(models), **settings)
    evaluated.add(CANDIDATE, {"a.jpg": "a dog", "b.jpg": "a cat"})
    metrics = evaluated.metrics()[CANDIDATE]
    assert metrics["spice"]["value"] == 0.375 and ("bleu_1_ptb" in metrics) == has_variants
    assert evaluated.notes == []


def test_a_rule_on_it_is_refused_before_anything_is_captioned_where_its_words_cannot_be_had(models, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    settings = {"spice_dir": str(models), "ptb": False}
    message = r"^evaluator\.max_regression\.spice: metrics by COCO's PTB .*: Java is not installed$"
    with pytest.raises(ValueError, match=message):
        new_evaluation({"a.jpg": ["a dog"]}, max_regression={"spice": 0.1}, **settings)
    [note] = new_evaluation({"a.jpg": ["a dog"]}, max_regression={"bleu_4": 0.1}, **settings).notes
    assert note.startswith("metrics by COCO's PTB tokenizer")


def test_the_real_program_takes_the_command_and_stops_at_the_parser(models, monkeypatch):
    if shutil.which("java") is None:
        with pytest.raises(MetricUnavailable, match="Java is not installed"):
            spice.Program(str(models))
        return
    monkeypatch.setattr(spice, "LAST_JAVA", 99)
    with pytest.raises(MetricFailed, match=r"its program has failed \(.*NoClassDefFoundError: edu/stanford/nlp/"):
        spice.Program(str(models)).scores(CAPTIONS, REFERENCES)
