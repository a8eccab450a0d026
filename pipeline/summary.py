"""The result of a run: as JSON for programs, as a table for people."""

import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from rich.table import Table
from rich.text import Text
from tfx.orchestration import metadata
from tfx.types.artifact import Artifact

from components.caption_ingest.rejects import format_amount
from components.shared import evaluations, record_files, records, storage
from components.shared.mlmd.results import evaluation_with_results, report_with_results
from components.shared.mlmd.runs import run_outputs
from components.shared.models.description import format_parameters
from pipeline.paths import display_path
from pipeline.step_states import Step

MAX_EXAMPLES = 3  # of rejects
EVALUATION_KEYS = (
    "metrics", "intervals", "metrics_info", "primary_metric", "baseline", "comparison_models", "decision", "reasons",
    "rules", "notes", "candidate_model",
)  # fmt: skip


def build(handle: metadata.Metadata, pipeline_name: str, run_id: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Collects the results of a run from ML Metadata; what the run did not reach is null.

    Returns:
      {run_id, nodes, data, metrics, intervals, metrics_info, primary_metric, baseline, comparison_models, decision,
      reasons, rules, notes, candidate_model, num_parameters, pushed_model, report, example_image}, JSON-serializable.
      Intervals are at 95 %: metric -> [low, high]; the baseline and each comparison model have their own. metrics_info
      describes the metrics, and primary_metric is the one that decides, see `components.shared.evaluations`;
      example_image is the file of a test image.
    """
    outputs = run_outputs(handle, pipeline_name, run_id, [step.id for step in steps])
    pushed = outputs.get("Pusher", {}).get("pushed_model")
    report = outputs.get("Report", {}).get("report")
    return {
        "run_id": run_id,
        "nodes": [{"id": step.id, "state": step.state.value, "seconds": round(step.seconds, 2)} for step in steps],
        "data": summarize_data(outputs.get("CaptionIngest", {}), outputs.get("ExampleValidator", {}).get("anomalies")),
        **summarize_evaluation(handle, outputs.get("BleuEvaluator", {}).get("evaluation")),
        "pushed_model": (pushed and pushed.get_string_custom_property("pushed_destination")) or None,
        "report": report and _report(handle, report),
        "num_parameters": _num_parameters(outputs.get("Trainer", {}).get("weights")),
        "example_image": _example_image(outputs.get("CaptionIngest", {}).get("examples")),
    }


def _num_parameters(weights: Artifact | None) -> int | None:
    return weights.get_int_custom_property(records.NUM_PARAMETERS) or None if weights else None


def _report(handle: metadata.Metadata, report: Artifact) -> str | None:
    """The path of the report; if the candidate is the blessed model itself, of the run that evaluated it."""
    written = report_with_results(handle.store, report.mlmd_artifact)
    return os.path.join(written.uri, records.REPORT_FILE) if written else None


def _example_image(examples: Artifact | None) -> str | None:
    """The file of the first test image; None if the run did not reach the ingest, or what it wrote is gone."""
    if examples is None:
        return None
    spec = {records.IMAGE_URI: record_files.EXAMPLE_SPEC[records.IMAGE_URI]}
    try:
        batch = next(iter(record_files.read_examples(record_files.split_files(examples, records.TEST), spec)))
    except (OSError, tf.errors.OpError, StopIteration):
        return None
    uri = batch[records.IMAGE_URI].numpy()[0].decode()
    return os.path.join(examples.get_string_custom_property(records.DATA_ROOT), uri)


def summarize_data(outputs: dict[str, Artifact], anomalies: Artifact | None) -> dict[str, Any] | None:
    """The size of the data, its rejects, and the warnings of the ingest and of the validator.

    Args:
      outputs: the outputs of CaptionIngest; empty if the run did not reach it.
      anomalies: the output of ExampleValidator, if the run reached it.
    """
    if not outputs:
        return None
    sources = [outputs["examples"], *([anomalies] if anomalies else [])]
    warnings = [text for a in sources for text in json.loads(a.get_string_custom_property(records.WARNINGS) or "[]")]
    counts = json.loads(outputs["examples"].get_string_custom_property(records.COUNTS))
    return {**counts, "rejects": _summarize_rejects(outputs["rejects"]), "warnings": warnings}


def _summarize_rejects(artifact: Artifact) -> dict[str, Any]:
    """The rejects: how many, the captions that are lost with them, their file, and some of them; without any, none."""
    by_reason = json.loads(artifact.get_string_custom_property(records.COUNTS))
    summary: dict[str, Any] = {"total": sum(by_reason.values()), "by_reason": by_reason}
    path = os.path.join(artifact.uri, records.REJECTS_FILE)
    if not by_reason or not storage.exists(path):
        return summary
    captions = dict.fromkeys(by_reason, 0)
    examples: list[tuple[int, str, str]] = []
    for reject in record_files.read_rejects(artifact.uri):
        captions[reject["reason"]] = captions.get(reject["reason"], 0) + reject.get("rows", 1)
        nth = sum(reason == reject["reason"] for _, reason, _ in examples)
        place = f"{reject['source']}:{reject['line']}: {reject['image_id']}: {reject['reason']}: {reject['detail']}"
        if nth < MAX_EXAMPLES:
            examples.append((nth, reject["reason"], place))
    several_reasons_first = sorted(examples, key=lambda example: example[0])
    shown = [place for _, _, place in several_reasons_first[:MAX_EXAMPLES]]
    return summary | {"captions": captions, "file": path, "examples": shown}


def summarize_evaluation(handle: metadata.Metadata, evaluation: Artifact | None) -> dict[str, Any]:
    """The metrics of all models, and the decision.

    Args:
      handle: ML Metadata.
      evaluation: the output of BleuEvaluator; None if the run did not reach it.
    """
    if evaluation is None:
        return dict.fromkeys(EVALUATION_KEYS)
    result = evaluations.read_evaluation(evaluation.uri)
    if not result:  # the cache does not check whether the files of its answers still exist
        missing = f"{evaluation.uri} is gone, and the metrics with it; run --from BleuEvaluator --no-cache to restore"
        decision = evaluations.decision_of(evaluation.mlmd_artifact)
        return dict.fromkeys(EVALUATION_KEYS) | {"decision": decision, "reasons": [missing], "baseline": _model(None)}
    source = evaluation_with_results(handle.store, evaluation.mlmd_artifact)
    evaluated = evaluations.read_evaluation(source.uri) if source else {}
    models = evaluated.get("models", {})
    unchanged = result["decision"] == records.UNCHANGED
    baseline = _model(models.get(evaluations.CANDIDATE if unchanged else evaluations.BASELINE))
    comparison_models = models.keys() - {evaluations.CANDIDATE, evaluations.BASELINE}
    return {
        **_model(models.get(evaluations.CANDIDATE)),
        "metrics_info": evaluated.get("metrics_info", {}),
        "primary_metric": evaluations.primary_metric(evaluated),
        "baseline": {"model": result["baseline"], **baseline} if result["baseline"] else None,
        "comparison_models": {label: _model(models[label]) for label in sorted(comparison_models)},
        "decision": result["decision"],
        "reasons": result["reasons"],
        "rules": result.get("rules", []),
        "notes": result.get("notes", []),
        "candidate_model": result["candidate"],
    }


def _model(metrics: dict[str, dict[str, float]] | None) -> dict[str, Any]:
    """The metrics and intervals of a model; null if it was not evaluated."""
    if metrics is None:
        return {"metrics": None, "intervals": None}
    return {
        "metrics": {name: metric["value"] for name, metric in metrics.items()},
        "intervals": {name: [metric["low"], metric["high"]] for name, metric in metrics.items()},
    }


def table(summary: dict[str, Any]) -> Table:
    """The summary for people."""
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")

    def add(name: str, value: str) -> None:
        rows.add_row(name, Text(value))  # paths and messages may contain what rich takes for markup

    labels = evaluations.quality_metrics(summary)
    if summary["decision"]:
        add("decision", summary["decision"])
        for reason in [*summary["reasons"], *(f"note: {note}" for note in summary["notes"] or [])]:
            add("", reason)
    if metrics := summary["metrics"]:
        info = summary["metrics_info"]
        for title, is_variant in (("BLEU-1..4", False), ("BLEU-1..4 (PTB)", True)):
            names = [name for name in metrics if name.startswith("bleu_")]
            values = [metrics[name] for name in names if (evaluations.VARIANT_OF in info[name]) == is_variant]
            if values:
                add(title, "  ".join(f"{value:.3f}" for value in values))
        add("95 % intervals", _with_intervals(summary, labels))
    if summary["decision"]:
        baseline = summary["baseline"]
        metrics = baseline and baseline["metrics"]
        add("baseline", _with_intervals(baseline, labels) if metrics else "not evaluated" if baseline else "none yet")
    if number := summary.get("num_parameters"):
        add("model", format_parameters(number))
    for label, model in (summary["comparison_models"] or {}).items():
        add(label, _with_intervals(model, labels))
    if data := summary["data"]:
        images = ", ".join(f"{split} {number}" for split, number in data["images"].items())
        add("images", f"{sum(data['images'].values())} ({images}), {data['captions']} captions")
        rejects = data["rejects"]
        lost = rejects.get("captions", rejects["by_reason"])
        amounts = "; ".join(format_amount(reason, n, lost[reason]) for reason, n in rejects["by_reason"].items())
        add("rejects", f"{rejects['total']}" + (f" ({amounts})" if amounts else ""))
        for line in rejects.get("examples", ()):
            add("", line)
        if "file" in rejects:
            add("", f"all in {display_path(rejects['file'])}")
        for warning in [*data["warnings"], *evaluations.small_test_warning(data["images"].get(records.TEST, 0))]:
            add("data warning", warning)
    pushed_model, report = summary["pushed_model"], summary["report"]
    add("served model", display_path(pushed_model) if pushed_model else "nothing pushed by this run")
    if report:
        add("report", display_path(report))
    return rows


def _with_intervals(model: dict[str, Any], labels: dict[str, str]) -> str:
    """The quality metrics of a model, each with its interval."""
    texts = []
    for name, label in labels.items():
        if name in model["metrics"]:
            low, high = model["intervals"][name]
            metric = {"value": model["metrics"][name], "low": low, "high": high}
            texts.append(f"{label} {evaluations.format_metric(metric)}")
    return ", ".join(texts)
