"""What a run came to: for scripts as JSON, for people as a table."""

import json
import os
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.types.artifact import Artifact

from components import history, records
from pipeline import lineage
from pipeline.steps import Step

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
WITH_INTERVAL = {"bleu_4": "BLEU-4", "cider": "CIDEr", "rouge_l": "ROUGE-L", "meteor": "METEOR"}


def build(handle: metadata.Metadata, pipeline_name: str, run_id: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Gathers a run's results from ML Metadata; what the run did not come to is null.

    Returns:
      {run_id, nodes, data, metrics, intervals, baseline, decision, reasons, rules, notes, candidate_model,
      pushed_model, report}, JSON-serializable. Intervals are of 95 %: metric -> [low, high].
    """
    outputs = lineage.run_outputs(handle, pipeline_name, run_id, [step.id for step in steps])
    pushed = outputs.get("Pusher", {}).get("pushed_model")
    report = outputs.get("Report", {}).get("report")
    return {
        "run_id": run_id,
        "nodes": [{"id": step.id, "state": step.state.value, "seconds": round(step.seconds, 2)} for step in steps],
        "data": _data(outputs.get("CaptionIngest", {}), outputs.get("ExampleValidator", {}).get("anomalies")),
        **_evaluation(handle, outputs.get("BleuEvaluator", {}).get("evaluation")),
        "pushed_model": (pushed and pushed.get_string_custom_property("pushed_destination")) or None,
        "report": report and _report(handle, report),
    }


def _report(handle: metadata.Metadata, report: Artifact) -> str | None:
    """The path of the report; where the candidate is the blessed model itself, of the run that measured it."""
    uri: str | None = report.uri
    if report.get_string_custom_property(records.DECISION) == records.UNCHANGED:
        earlier = history.report_of(handle.store, report.get_int_custom_property(records.CANDIDATE_ID))
        uri = earlier.uri if earlier else None
    return uri and os.path.join(uri, records.REPORT_FILE)


def _data(outputs: dict[str, Artifact], anomalies: Artifact | None) -> dict[str, Any] | None:
    if not outputs:
        return None
    warned = [outputs["examples"], *([anomalies] if anomalies else [])]
    warnings = [each for a in warned for each in json.loads(a.get_string_custom_property(records.WARNINGS) or "[]")]
    counts = json.loads(outputs["examples"].get_string_custom_property(records.COUNTS))
    by_reason = json.loads(outputs["rejects"].get_string_custom_property(records.COUNTS))
    return {**counts, "rejects": {"total": sum(by_reason.values()), "by_reason": by_reason}, "warnings": warnings}


def _evaluation(handle: metadata.Metadata, evaluation: Artifact | None) -> dict[str, Any]:
    keys = ("metrics", "intervals", "baseline", "decision", "reasons", "rules", "notes", "candidate_model")
    if evaluation is None:
        return dict.fromkeys(keys)
    result = _read(evaluation.uri)
    measured, baseline_metrics = result, result.get("baseline_metrics")
    if result["decision"] == records.UNCHANGED:
        # the figures are those of the run that blessed it
        earlier = history.evaluation_of(handle.store, evaluation.get_int_custom_property(records.CANDIDATE_ID))
        measured = _read(earlier.uri) if earlier else {}
        baseline_metrics = measured.get("metrics")
    figures = measured.get("models", {}).get("candidate", {})
    return {
        "metrics": measured.get("metrics"),
        "intervals": {name: [figure["low"], figure["high"]] for name, figure in figures.items()},
        "baseline": {"model": result["baseline"], "metrics": baseline_metrics} if result["baseline"] else None,
        "decision": result["decision"],
        "reasons": result["reasons"],
        "rules": result.get("rules", []),
        "notes": result.get("notes", []),
        "candidate_model": result["candidate"],
    }


def _read(uri: str) -> dict[str, Any]:
    with fileio.open(os.path.join(uri, records.EVALUATION_FILE)) as file:
        return json.load(file)


def table(summary: dict[str, Any]) -> Table:
    """The summary for people."""
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")

    def add(name: str, value: str) -> None:
        rows.add_row(name, Text(value))  # paths and messages may hold what rich takes for markup

    if data := summary["data"]:
        images = ", ".join(f"{split} {number}" for split, number in data["images"].items())
        add("pictures", f"{sum(data['images'].values())} ({images}), {data['captions']} captions")
        reasons = ", ".join(f"{reason} {number}" for reason, number in data["rejects"]["by_reason"].items())
        add("rejects", f"{data['rejects']['total']}" + (f" ({reasons})" if reasons else ""))
        for warning in data["warnings"]:
            add("data warning", warning)
    if metrics := summary["metrics"]:
        add("BLEU-1..4", _figures(metrics))
        intervals = summary["intervals"] or {}
        shown = [name for name in WITH_INTERVAL if name in intervals]
        sure = [f"{WITH_INTERVAL[name]} {metrics[name]:.3f} ({_range(*intervals[name])})" for name in shown]
        if sure:
            add("95 % intervals", ", ".join(sure))
    if summary["decision"]:
        baseline = summary["baseline"]
        known = baseline and baseline["metrics"]
        add("baseline", _figures(known) if known else "not measured" if baseline else "none yet")
        add("decision", summary["decision"])
        for reason in [*summary["reasons"], *(f"note: {note}" for note in summary["notes"] or [])]:
            add("", reason)
    add("served model", summary["pushed_model"] or "nothing pushed by this run")
    if summary["report"]:
        add("report", summary["report"])
    return rows


def _figures(metrics: dict[str, float]) -> str:
    return "  ".join(f"{metrics[name]:.3f}" for name in BLEU)


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"
