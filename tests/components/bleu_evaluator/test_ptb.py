"""The metrics on the words of COCO's server."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from components.bleu_evaluator import measurement, ptb
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.metrics import METRICS, PTB, Corpus, Metric, MetricUnavailable, ptb_variant
from components.shared.evaluations import BASELINE, CANDIDATE
from components.shared.words import Tokenization
from tests.components.bleu_evaluator.factories import new_evaluation

REFERENCES = {
    "apostrophes.jpg": ["A man's dog can't jump.", "The men's dogs CANNOT jump!", "'Tis a dog; it's \"jumping\""],
    "capitals.jpg": ["TWO PEOPLE walk in the U.S.", "Two People Walk", "He and she walk (slowly) in the U.S.A."],
    "numbers.jpg": ["2 boys, 10,000 fans and $5.50", "1 1/2 of the 3rd team at 5:30pm", "50% of a team"],
    "empty.jpg": ["...", "!!!", "- --", "A red t-shirt -- on a rock-n-roll fan"],
    "plain.jpg": ["a cat sleeps on the mat", "the cat is asleep on a mat", "a sleeping cat"],
    "plain too.jpg": ["a cat and a dog sleep", "two animals sleep on a mat", "a dog sleeps by a cat"],
    "scripts.jpg": ["Ein Mädchen läuft über die Straße", "un café au lait", "a girl crosses a street ..."],
    "blanks.jpg": ["  A bird   flies ", "a\tbird flies\n", "a bird [blue] {small} <b>flies</b> & sings"],
}
CAPTIONS = {
    "apostrophes.jpg": "a man s dog cannot jump",
    "capitals.jpg": "two people walk in the u s",
    "numbers.jpg": "2 boys and 10 000 fans",
    "empty.jpg": "a red t shirt on a fan",
    "plain.jpg": "a cat sleeps on the mat",
    "plain too.jpg": "a dog sleeps on a mat",
    "scripts.jpg": "ein mädchen läuft über die straße",
    "blanks.jpg": "",
}
OTHERS = CAPTIONS | {"plain.jpg": "gonna sleep", "numbers.jpg": "wanna play in a team", "blanks.jpg": "a bird"}


def is_refused_without_java() -> bool:
    """Whether there is no Java here, as the tokenizer then says."""
    if shutil.which("java") is not None:
        return False
    with pytest.raises(MetricUnavailable, match="Java is not installed"):
        ptb.check()
    return True


def evaluation(references: dict[str, list[str]] = REFERENCES, **settings) -> Evaluation:
    return new_evaluation(references, **settings)


def cocos_figures(captions: dict[str, str], meteor: Meteor) -> dict[str, float]:
    """What COCO's program measures: tokenizer and scorers as its `COCOEvalCap` calls them, without SPICE."""
    tokenizer = PTBTokenizer()
    references = tokenizer.tokenize({name: [{"caption": text} for text in REFERENCES[name]] for name in captions})
    results = tokenizer.tokenize({name: [{"caption": caption}] for name, caption in captions.items()})
    for name in captions:  # it forgets the last sentences where they are empty
        results.setdefault(name, [""])
    names = [f"bleu_{order}" for order in (1, 2, 3, 4)]
    figures = dict(zip(names, Bleu(4).compute_score(references, results, verbose=0)[0], strict=True))
    for name, scorer in (("cider", Cider()), ("rouge_l", Rouge()), ("meteor", meteor)):
        figures[name], _ = scorer.compute_score(references, results)
    return figures


@pytest.mark.slow
def test_the_figures_of_an_evaluation_are_those_of_cocos_program():
    if is_refused_without_java():
        return
    evaluated, meteor = evaluation(meteor=True), Meteor()
    for model, captions in ((CANDIDATE, CAPTIONS), (BASELINE, OTHERS)):
        evaluated.add(model, captions)
        metrics, expected = evaluated.metrics()[model], cocos_figures(captions, meteor)
        figures = {name: metrics[f"{name}_ptb"]["value"] for name in expected}
        assert figures == pytest.approx(expected, abs=1e-9)
        assert all(abs(figures[name] - metrics[name]["value"]) > 1e-3 for name in figures)  # the words differ
    assert evaluated.notes == []
    info = evaluated.metrics_info()
    assert info["meteor_ptb"] == {
        "label": "METEOR (PTB)", "higher_is_better": True, "decimals": 3, "variant_of": "meteor",
    }  # fmt: skip
    assert list(info)[6:10] == ["bleu_4", "bleu_4_ptb", "cider", "cider_ptb"]
    assert {"bleu_4_ptb", "cider_ptb"} <= evaluated.improvements(CANDIDATE, BASELINE).keys()


def test_sentences_are_split_as_by_pycocoevalcap():
    if is_refused_without_java():
        return
    sentences = [text for texts in REFERENCES.values() for text in texts]
    words = PTBTokenizer().tokenize({row: [{"caption": text}] for row, text in enumerate(sentences)})
    assert ptb.Process(sentences).sentences() == [words[row][0] for row in range(len(sentences))]
    assert ptb.Process(["A man's T-shirt"]).sentences() == ["a man 's t-shirt"]


def test_every_sentence_keeps_its_place_whatever_ends_a_line():
    if is_refused_without_java():
        return
    sentences = ["", "one\x0btwo\u2028three\x85four\rfive\n", "...", "six\n", "", ""]
    assert ptb.Process(sentences).sentences() == ["", "one two three four five", "", "six", "", ""]
    assert ptb.Process([]).sentences() == []


@pytest.mark.parametrize(("unit", "words"), [("auto", "一 只 dog 在 跑"), ("word", "一只dog在跑")])
def test_scripts_without_blanks_have_the_words_of_the_model(unit, words):
    if is_refused_without_java():
        return
    references = ptb.References([["一只Dog在跑。"], ["A man's dog"]], Tokenization(unit))
    assert references.corpus(["一只dog在跑", "a dog"]) == Corpus([words, "a dog"], [[words], ["a man 's dog"]])


@pytest.fixture
def without_java(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)


def test_without_java_the_words_of_cocos_server_are_absent_with_a_note(without_java):
    evaluated = evaluation()
    evaluated.add(CANDIDATE, CAPTIONS)
    assert evaluated.notes == ["metrics by COCO's PTB tokenizer are not computed: Java is not installed"]
    assert not [name for name in evaluated.metrics()[CANDIDATE] if name.endswith("ptb")]
    assert evaluated.incomplete == []  # or a machine without Java would evaluate in every run


def test_without_java_rules_on_the_words_of_cocos_server_are_refused(without_java):
    with pytest.raises(ValueError, match=r"^evaluator\.tokenizer: metrics by COCO's PTB .*: Java is not installed$"):
        evaluation(tokenizer="ptb", ptb=False)


@pytest.fixture
def failing_java(monkeypatch, tmp_path) -> pathlib.Path:
    """The only program on PATH; a stand-in, for a Java that fails."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho words; echo 'no class' >&2; echo 'out of memory' >&2; exit 3\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_program_that_fails_is_noted_and_holds_nothing_up(failing_java):
    evaluated = evaluation({"a.jpg": ["a dog"], "b.jpg": ["a cat"]})
    for model in (CANDIDATE, BASELINE):
        evaluated.add(model, {"a.jpg": "a dog", "b.jpg": "a cat"})
    assert evaluated.notes == [
        "metrics by COCO's PTB tokenizer are not computed: it has exited with status 3 after 1 of 2 sentences "
        "(out of memory)"
    ]
    assert evaluated.metrics()[BASELINE]["bleu_1"]["value"] == pytest.approx(1.0)
    assert "bleu_1_ptb" not in evaluated.metrics()[CANDIDATE] and evaluated.incomplete == ["ptb"]


def test_meteor_is_to_be_computed_again_where_its_program_fails(failing_java):
    (failing_java / "java").write_text("#!/bin/sh\nwhile read line; do echo no numbers; done\n")
    evaluated = evaluation({"a.jpg": ["a dog"], "b.jpg": ["a cat"]}, meteor=True, ptb=False)
    evaluated.add(CANDIDATE, {"a.jpg": "a dog", "b.jpg": "a cat"})
    [note] = evaluated.notes
    assert note == "METEOR is not computed: its program answered 'no numbers'" and evaluated.incomplete == ["meteor"]


def test_a_program_that_fails_stops_an_evaluation_whose_rules_need_it(failing_java):
    evaluated = evaluation(tokenizer="ptb")
    with pytest.raises(ValueError, match=r"^evaluator\.tokenizer: .* it has exited with status 3"):
        evaluated.add(CANDIDATE, CAPTIONS)


def test_statistics_of_images_with_the_same_words_are_not_computed_again():
    computed: list[str] = []

    def num_letters(corpus: Corpus) -> list[int]:
        computed.extend(corpus.captions)
        return [len(caption) + len(corpus.captions) * is_corpus_wide for caption in corpus.captions]

    same = (["a b", "c", "d e"], [["a"], ["c"], ["d"]])
    other = Corpus(["a b", "c", "d-e"], [["a"], ["c", "!"], ["d"]])
    for is_corpus_wide, expected in ((False, ["c", "d-e"]), (True, other.captions)):
        metric = Metric("letters", "letters", None, num_letters, has_ptb_variant=True, is_corpus_wide=is_corpus_wide)
        measured = measurement.measure(
            *same, Tokenization(), metrics=[metric, ptb_variant(metric)], further={PTB: other}
        )
        assert computed[3:] == list(expected)
        alone = measurement.measure(*same, Tokenization(), metrics=[ptb_variant(metric)], further={PTB: other})
        key = (PTB, num_letters)
        np.testing.assert_array_equal(measured.values[key], alone.values[key])
        computed.clear()


def test_a_variant_needs_its_metric(without_java):
    # METEOR is not to be had: its variant is neither computed nor noted again
    evaluated = evaluation(ptb=False, meteor=True)
    assert evaluated.notes == ["METEOR is not computed: Java is not installed"] and evaluated.incomplete == []
    with pytest.raises(MetricUnavailable, match="Java is not installed"):
        ptb.check()


def test_a_variant_is_its_metric_but_for_the_words():
    variant = ptb_variant(METRICS["bleu_4"])
    assert (variant.name, variant.label, variant.variant_of) == ("bleu_4_ptb", "BLEU-4 (PTB)", "bleu_4")
    assert variant.key != METRICS["bleu_4"].key
    fields = ("name", "label", "words", "has_ptb_variant", "variant_of")
    changed = {field: getattr(METRICS["bleu_4"], field) for field in fields}
    assert dataclasses.replace(variant, **changed) == METRICS["bleu_4"]
