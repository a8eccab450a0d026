"""What a run came to: for scripts as JSON, for people as a table."""

import json
import os
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from tfx.orchestration import metadata
from tfx.types.artifact import Artifact

from components import history, records
from pipeline import lineage
from pipeline.steps import Step

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")


def build(handle: metadata.Metadata, pipeline_name: str, run_id: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Gathers a run's results from ML Metadata; what the run did not come to is null.

    Returns:
      {run_id, nodes, data, metrics, intervals, baseline, others, decision, reasons, rules, notes, candidate_model,
      pushed_model, report}, JSON-serializable. Intervals are of 95 %: metric -> [low, high]; the baseline has its own,
      as has each of the others, the models trained beside the candidate.
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
    keys = ("metrics", "intervals", "baseline", "others", "decision", "reasons", "rules", "notes", "candidate_model")
    if evaluation is None:
        return dict.fromkeys(keys)
    result = lineage.evaluation_in(evaluation.uri)
    if not result:  # the cache does not look whether the files of what it answers with are still there
        gone = f"{evaluation.uri} is gone, and with it the figures: run --from BleuEvaluator --no-cache measures again"
        known = {"decision": evaluation.get_string_custom_property(records.DECISION), "reasons": [gone]}
        return dict.fromkeys(keys) | known | {"baseline": _model(None)}
    measured = result
    if "metrics" not in result:  # the figures are those of the run that blessed it
        earlier = history.evaluation_of(handle.store, evaluation.get_int_custom_property(records.CANDIDATE_ID))
        measured = lineage.evaluation_in(earlier.uri) if earlier else {}
    models = measured.get("models", {})
    unchanged = result["decision"] == records.UNCHANGED
    baseline = _model(models.get("candidate" if unchanged else "baseline"))
    return {
        **_model(models.get("candidate")),
        "baseline": {"model": result["baseline"], **baseline} if result["baseline"] else None,
        "others": {name: _model(found) for name, found in models.items() if name not in ("candidate", "baseline")},
        "decision": result["decision"],
        "reasons": result["reasons"],
        "rules": result.get("rules", []),
        "notes": result.get("notes", []),
        "candidate_model": result["candidate"],
    }


def _model(figures: dict[str, dict[str, float]] | None) -> dict[str, Any]:
    """A model's figures; null where it was not measured."""
    if figures is None:
        return {"metrics": None, "intervals": None}
    return {
        "metrics": {name: figure["value"] for name, figure in figures.items()},
        "intervals": {name: [figure["low"], figure["high"]] for name, figure in figures.items()},
    }


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
        add("95 % intervals", _with_intervals(summary))
    for name, other in (summary["others"] or {}).items():
        add(name, _with_intervals(other))
    if summary["decision"]:
        baseline = summary["baseline"]
        known = baseline and baseline["metrics"]
        add("baseline", _with_intervals(baseline) if known else "not measured" if baseline else "none yet")
        add("decision", summary["decision"])
        for reason in [*summary["reasons"], *(f"note: {note}" for note in summary["notes"] or [])]:
            add("", reason)
    add("served model", summary["pushed_model"] or "nothing pushed by this run")
    if summary["report"]:
        add("report", summary["report"])
    return rows


def _figures(metrics: dict[str, float]) -> str:
    return "  ".join(f"{metrics[name]:.3f}" for name in BLEU)


def _with_intervals(model: dict[str, Any]) -> str:
    """The figures of quality, each with its interval."""
    texts = []
    for name, label in records.QUALITY.items():
        if name in model["metrics"]:
            low, high = model["intervals"][name]
            texts.append(f"{label} {lineage.figure_text({'value': model['metrics'][name], 'low': low, 'high': high})}")
    return ", ".join(texts)
