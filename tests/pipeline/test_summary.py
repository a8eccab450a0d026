import io

import pytest
from rich.console import Console
from tfx.types import standard_artifacts

from components.records import Rejects
from pipeline import summary

BLEU = {"bleu_1": 0.8, "bleu_2": 0.7, "bleu_3": 0.6, "bleu_4": 0.5}
INTERVALS = {name: [value - 0.1, value + 0.1] for name, value in BLEU.items()}
SHOWN = (
    "BLEU-1 0.800 (0.700 to 0.900), BLEU-2 0.700 (0.600 to 0.800), BLEU-3 0.600 (0.500 to 0.700), "
    "BLEU-4 0.500 (0.400 to 0.600)"
)
FULL = {
    "run_id": "r",
    "data": {
        "images": {"train": 400, "eval": 50, "test": 49},
        "captions": 2495,
        "rejects": {"total": 3, "by_reason": {"truncated": 2, "missing_image": 1}},
        "warnings": ["train: width: other than before"],
    },
    "metrics": {**BLEU, "cider": 1.5, "length": 9.0},
    "intervals": {**INTERVALS, "cider": [1.25, 1.75], "length": [8.0, 10.0]},
    "others": {},
    "notes": ["METEOR is left out: there is no Java here"],
    "baseline": None,
    "decision": "blessed",
    "reasons": ["met: bleu_4 0.5000, at least 0.4000 wanted"],
    "pushed_model": "/serving/17",
    "report": "/report/3/report.html",
}


def shown(result: dict) -> dict[str, str]:
    """The table as {first column: the rest}."""
    stream = io.StringIO()
    Console(file=stream, width=240).print(summary.table(result))
    rows = [line.split("  ", 1) for line in stream.getvalue().splitlines()]
    return {row[0].strip(): row[1].strip() for row in rows}


def test_the_table_says_all_that_counts():
    rows = shown(FULL)
    assert rows["pictures"] == "499 (train 400, eval 50, test 49), 2495 captions"
    assert rows["rejects"] == "3 (truncated 2, missing_image 1)"
    assert rows["data warning"] == "train: width: other than before"
    assert rows["BLEU-1..4"] == "0.800  0.700  0.600  0.500"
    assert rows["95 % intervals"] == f"{SHOWN}, CIDEr 1.500 (1.250 to 1.750)"
    assert rows["baseline"] == "none yet"
    assert rows["decision"] == "blessed"
    assert rows[""] == "note: METEOR is left out: there is no Java here"
    assert rows["served model"] == "/serving/17"
    assert rows["report"] == "/report/3/report.html"


def test_warnings_are_those_of_the_ingest_and_of_the_validator():
    examples, rejects, anomalies = standard_artifacts.Examples(), Rejects(), standard_artifacts.ExampleAnomalies()
    examples.set_string_custom_property("counts", '{"images": {"train": 1}, "captions": 5}')
    rejects.set_string_custom_property("counts", "{}")
    outputs = {"examples": examples, "rejects": rejects}
    assert summary._data(outputs, None)["warnings"] == []
    examples.set_string_custom_property("warnings", '["a list of others"]')
    anomalies.set_string_custom_property("warnings", '["train: width: other"]')
    assert summary._data(outputs, anomalies)["warnings"] == ["a list of others", "train: width: other"]


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ({"model": "m", "metrics": BLEU, "intervals": INTERVALS}, SHOWN),
        ({"model": "m", "metrics": None, "intervals": None}, "not measured"),
    ],
)
def test_the_baseline(baseline, expected):
    assert shown({**FULL, "baseline": baseline})["baseline"] == expected


def test_models_trained_beside_have_their_line():
    assert shown({**FULL, "others": {"attention": {"metrics": BLEU, "intervals": INTERVALS}}})["attention"] == SHOWN


def test_each_rule_has_its_line():
    assert shown({**FULL, "notes": []})[""] == "met: bleu_4 0.5000, at least 0.4000 wanted"


def test_an_evaluation_whose_files_are_gone_is_said_and_crashes_nothing(tmp_path):
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(tmp_path / "gone")
    evaluation.set_string_custom_property("decision", "blessed")
    rows = shown({**dict.fromkeys(FULL), **summary._evaluation(None, evaluation)})
    assert (rows["decision"], rows["baseline"]) == ("blessed", "not measured")
    assert "gone is gone, and with it the figures: run --from BleuEvaluator --no-cache measures again" in rows[""]


def test_brackets_in_a_reason_are_shown_as_they_are():
    assert shown({**FULL, "reasons": ["at /srv/a[/b]/m [x]"], "notes": None})[""] == "at /srv/a[/b]/m [x]"


def test_a_run_that_did_not_get_far_is_a_short_table():
    nothing = dict.fromkeys(FULL)
    assert shown(nothing) == {"served model": "nothing pushed by this run"}
