import io
import json
import os

import pytest
from rich.console import Console
from tfx.types import standard_artifacts

from components.caption_ingest.rejects import Reason, Reject, count
from components.shared.artifact_types import Rejects
from pipeline import summary

BLEU = {"bleu_1": 0.8, "bleu_2": 0.7, "bleu_3": 0.6, "bleu_4": 0.5}
INTERVALS = {name: [value - 0.1, value + 0.1] for name, value in BLEU.items()}
FORMATTED = (
    "BLEU-1 0.800 (0.700 to 0.900), BLEU-2 0.700 (0.600 to 0.800), BLEU-3 0.600 (0.500 to 0.700), "
    "BLEU-4 0.500 (0.400 to 0.600)"
)
FULL = {
    "run_id": "r",
    "data": {
        "images": {"train": 400, "eval": 50, "test": 50},
        "captions": 2495,
        "rejects": {
            "total": 3,
            "by_reason": {"truncated": 2, "missing_image": 1},
            "captions": {"truncated": 10, "missing_image": 1},
        },
        "warnings": ["train: width: drift"],
    },
    "metrics": {**BLEU, "cider": 1.5, "mean_length": 9.0},
    "intervals": {**INTERVALS, "cider": [1.25, 1.75], "mean_length": [8.0, 10.0]},
    "metrics_info": {
        **{name: {"label": f"BLEU-{name[-1]}", "higher_is_better": True} for name in BLEU},
        "cider": {"label": "CIDEr", "higher_is_better": True},
        "mean_length": {"label": "mean caption length", "higher_is_better": None},
    },
    "comparison_models": {},
    "notes": ["METEOR was not computed: Java was not found"],
    "baseline": None,
    "decision": "blessed",
    "reasons": ["passed: bleu_4 0.5000 (threshold 0.4000)"],
    "pushed_model": "/serving/17",
    "report": "/report/3/report.html",
}


def text_of(result: dict) -> str:
    stream = io.StringIO()
    Console(file=stream, width=240).print(summary.table(result))
    return stream.getvalue()


def rows_of(result: dict) -> dict[str, str]:
    """The table as {first column: the rest}."""
    rows = [line.split("  ", 1) for line in text_of(result).splitlines()]
    return {row[0].strip(): row[1].strip() for row in rows}


def test_the_table_has_data_metrics_and_decision():
    rows = rows_of(FULL)
    assert rows["images"] == "500 (train 400, eval 50, test 50), 2495 captions"
    assert rows["rejects"] == "3 (truncated: 2 images, 10 captions; missing_image: 1 image, 1 caption)"
    assert rows["data warning"] == "train: width: drift"
    assert rows["BLEU-1..4"] == "0.800  0.700  0.600  0.500"
    assert rows["95 % intervals"] == f"{FORMATTED}, CIDEr 1.500 (1.250 to 1.750)"
    assert rows["baseline"] == "none yet"
    assert rows["decision"] == "blessed"
    assert rows[""] == "note: METEOR was not computed: Java was not found"
    assert rows["served model"] == "/serving/17"
    assert rows["report"] == "/report/3/report.html"


def test_the_table_has_both_tokenizers_and_the_intervals_of_the_one_that_decides():
    variants = {f"{name}_ptb": value / 2 for name, value in BLEU.items()}
    info = {
        f"{name}_ptb": FULL["metrics_info"][name] | {"variant_of": name, "label": f"{name} of COCO"} for name in BLEU
    }
    full = FULL | {
        "metrics": FULL["metrics"] | variants,
        "intervals": FULL["intervals"] | {name: [0.1, 0.9] for name in variants},
        "metrics_info": FULL["metrics_info"] | info,
    }
    for primary, intervals in (("bleu_4", FORMATTED), ("bleu_4_ptb", "bleu_1 of COCO 0.400 (0.100 to 0.900)")):
        rows = rows_of(full | {"primary_metric": primary})
        assert rows["BLEU-1..4"] == "0.800  0.700  0.600  0.500"
        assert rows["BLEU-1..4 (PTB)"] == "0.400  0.350  0.300  0.250"
        assert rows["95 % intervals"].startswith(intervals)


def test_paths_below_the_working_directory_are_relative():
    rows = rows_of({**FULL, "pushed_model": os.path.abspath("serving/17"), "report": os.path.abspath("report.html")})
    assert (rows["served model"], rows["report"]) == ("serving/17", "report.html")


@pytest.mark.parametrize(("num_images", "has_warning"), [(6, True), (49, True), (50, False)])
def test_a_small_test_split_is_a_warning(num_images, has_warning):
    data = {**FULL["data"], "images": {"test": num_images}, "warnings": []}
    warning = f"the test split has {num_images} images: BLEU-4 over fewer than 50 says little, and so does its"
    assert rows_of({**FULL, "data": data}).get("data warning", "").startswith(warning) is has_warning


def test_the_size_of_the_model():
    assert rows_of({**FULL, "num_parameters": 2_130_000})["model"] == "2.1 M parameters"
    assert "model" not in rows_of({**FULL, "num_parameters": None})


def test_the_rejects_are_named_with_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lost = [Reject("a.jpg", 6, Reason.MISSING_IMAGE, "no such file", 5, "captions.csv")]
    lost = [Reject(f"{n}.jpg", n, Reason.TRUNCATED, "half a file", 5, "captions.csv") for n in range(4)] + lost
    (tmp_path / "rejects.jsonl").write_text("".join(f"{reject.to_json()}\n" for reject in lost))
    examples, rejects = standard_artifacts.Examples(), Rejects()
    rejects.uri = str(tmp_path)
    examples.set_string_custom_property("counts", '{"images": {"train": 1}, "captions": 5}')
    rejects.set_string_custom_property("counts", json.dumps(count(lost)))
    data = summary.summarize_data({"examples": examples, "rejects": rejects}, None)
    assert data["rejects"]["captions"] == {"truncated": 20, "missing_image": 5}
    lines = text_of({**FULL, "data": data}).splitlines()
    place = next(row for row, line in enumerate(lines) if line.startswith("rejects "))
    assert [line.split(maxsplit=1 if n == 0 else 0)[-1].strip() for n, line in enumerate(lines[place : place + 5])] == [
        "5 (truncated: 4 images, 20 captions; missing_image: 1 image, 5 captions)",
        "captions.csv:0: 0.jpg: truncated: half a file",
        "captions.csv:6: a.jpg: missing_image: no such file",
        "captions.csv:1: 1.jpg: truncated: half a file",
        "all in rejects.jsonl",
    ]
    (tmp_path / "rejects.jsonl").unlink()
    assert summary.summarize_data({"examples": examples, "rejects": rejects}, None)["rejects"]["total"] == 5


def test_warnings_are_those_of_the_ingest_and_of_the_validator():
    examples, rejects, anomalies = standard_artifacts.Examples(), Rejects(), standard_artifacts.ExampleAnomalies()
    examples.set_string_custom_property("counts", '{"images": {"train": 1}, "captions": 5}')
    rejects.set_string_custom_property("counts", "{}")
    outputs = {"examples": examples, "rejects": rejects}
    assert summary.summarize_data(outputs, None)["warnings"] == []
    examples.set_string_custom_property("warnings", '["an unused list"]')
    anomalies.set_string_custom_property("warnings", '["train: width: drift"]')
    assert summary.summarize_data(outputs, anomalies)["warnings"] == ["an unused list", "train: width: drift"]


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ({"model": "m", "metrics": BLEU, "intervals": INTERVALS}, FORMATTED),
        ({"model": "m", "metrics": None, "intervals": None}, "not evaluated"),
    ],
)
def test_the_baseline(baseline, expected):
    assert rows_of({**FULL, "baseline": baseline})["baseline"] == expected


def test_each_comparison_model_has_its_line():
    models = {"gru": {"metrics": BLEU, "intervals": INTERVALS}}
    assert rows_of({**FULL, "comparison_models": models})["gru"] == FORMATTED


def test_each_rule_has_its_line():
    assert rows_of({**FULL, "notes": []})[""] == "passed: bleu_4 0.5000 (threshold 0.4000)"


def test_an_evaluation_whose_files_are_gone_is_reported(tmp_path):
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(tmp_path / "gone")
    evaluation.set_string_custom_property("decision", "blessed")
    rows = rows_of({**dict.fromkeys(FULL), **summary.summarize_evaluation(None, evaluation)})
    assert (rows["decision"], rows["baseline"]) == ("blessed", "not evaluated")
    assert "gone is gone, and the metrics with it; run --from BleuEvaluator --no-cache to restore" in rows[""]


def test_brackets_in_a_reason_are_no_markup():
    assert rows_of({**FULL, "reasons": ["at /srv/a[/b]/m [x]"], "notes": None})[""] == "at /srv/a[/b]/m [x]"


def test_a_run_that_failed_early_has_a_short_table():
    nothing = dict.fromkeys(FULL)
    assert rows_of(nothing) == {"served model": "nothing pushed by this run"}


def test_the_decision_comes_first():
    assert list(rows_of(FULL))[:2] == ["decision", ""]
