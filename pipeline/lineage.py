"""A model's lineage: the data, features, vocabulary, settings and code that made it."""

import dataclasses
import datetime
import json
import os
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.console import Group
from rich.table import Table
from rich.text import Text

from components.pusher.push import saved_model_in
from components.shared import evaluations, records, storage
from components.shared.mlmd.ancestry import ancestry
from components.shared.mlmd.pushes import model_at, pushed_destinations
from components.shared.mlmd.results import evaluation_of
from components.shared.step import CODE
from pipeline import rollback
from pipeline.errors import UserError
from pipeline.step_settings import flatten, format_setting, without_code

MAX_VERSIONS = 3  # pushed versions that are named to users whose path is none


class ModelNotFound(UserError):
    """ML Metadata knows no model in the directory."""


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A model and what made it.

    Attributes:
      model_id: ID of the model's artifact.
      model_uri: its directory.
      steps: the executions, see `ancestry`; the last one made the model.
      evaluation: the latest evaluation of the model, {decision, uri, id, metrics: {name: {value, low, high}},
        metrics_info and primary_metric (see `components.shared.evaluations`)}; None if it was never evaluated.
      counts: the size of the data, {"images": {split: n}, "captions": n}.
      rollback: the last rollback of the model, or to it, in a line; empty if there was none.
    """

    model_id: int
    model_uri: str
    steps: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    counts: dict[str, Any]
    rollback: str = ""


def find(store: MetadataStore, model_dir: str) -> Lineage:
    """Finds the lineage of a model.

    Args:
      store: ML Metadata.
      model_dir: a pushed version, the directory of the versions (for the newest one), or the model's artifact.

    Raises:
      ModelNotFound: ML Metadata knows no model there.
    """
    directory = os.path.realpath(model_dir) if storage.is_local(model_dir) else model_dir.rstrip("/")
    model = model_at(store, saved_model_in(directory) or directory)
    if model is None:
        raise ModelNotFound(f"{model_dir}: not a model that ML Metadata knows; {_hint(store)}")
    steps = ancestry(store, [model.id])
    evaluation, latest = None, evaluation_of(store, model.id)
    if latest:
        decision = evaluations.decision_of(latest)
        result = evaluations.read_evaluation(latest.uri)
        metrics = result.get("models", {}).get(evaluations.CANDIDATE, {})
        evaluation = {"id": latest.id, "uri": latest.uri, "decision": decision, "metrics": metrics}
        evaluation["metrics_info"] = result.get("metrics_info", {})
        evaluation["primary_metric"] = evaluations.primary_metric(result)
        evaluation["failures"] = [rule["text"] for rule in result.get("rules", []) if not rule["passed"]]
    return Lineage(model.id, model.uri, steps, evaluation, _counts(store, steps), rollback.describe_last(store, model))


def tables(lineage: Lineage) -> Group:
    """The lineage for people: what went in, and every step that took part."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in facts_of(lineage):
        facts.add_row(name, Text(value))
    columns = ("step", "execution", "run", "started", "duration", "code", "commit", "outputs")
    steps = Table(*columns, box=None, pad_edge=False)
    for step in lineage.steps:
        started = datetime.datetime.fromtimestamp(step["started"]).strftime("%Y-%m-%d %H:%M:%S")
        outputs = ", ".join(f"{key} {artifact['id']}" for key, made in step["outputs"].items() for artifact in made)
        code = str(step["parameters"].get(CODE) or step["parameters"].get("source", "–"))  # version 0.1: source
        cells = (step["node"], str(step["execution"]), step["run"], started, f"{step['seconds']:.1f} s", code)
        steps.add_row(*cells, (step["commit"] or "–")[:12], outputs)
    return Group(facts, "", steps)


def facts_of(lineage: Lineage) -> list[tuple[str, str]]:
    """(label, text) of what went into a model and of its evaluation."""
    steps = _nearest(lineage.steps)

    def settings(node: str) -> str:
        parameters = steps.get(node, {}).get("parameters", {})
        shown = without_code(flatten(parameters))
        if fingerprint := parameters.get(records.FINGERPRINT):
            shown |= {records.FINGERPRINT: fingerprint}
        return ", ".join(f"{name} {format_setting(value)}" for name, value in shown.items()) or "–"

    images = ", ".join(f"{split} {number}" for split, number in lineage.counts.get("images", {}).items())
    facts = [
        ("model", f"artifact {lineage.model_id}, {lineage.model_uri}"),
        ("data", settings("CaptionIngest")),
        ("", f"{images}; {lineage.counts.get('captions', 0)} captions"),
        ("features", settings("FeatureExtractor")),
        ("vocabulary", settings("Transform")),
        ("training", settings("Trainer")),
    ]
    if "Exporter" in steps:  # in version 0.1, the Trainer exported
        facts.append(("decoding", settings("Exporter")))
    if lineage.evaluation:
        metrics = lineage.evaluation["metrics"]
        labels = evaluations.quality_metrics(lineage.evaluation)
        texts = [f"{labels[name]} {evaluations.format_metric(metrics[name])}" for name in labels if name in metrics]
        why = "".join(f", since {text}" for text in lineage.evaluation["failures"])
        facts.append(("evaluation", f"{lineage.evaluation['decision']}{why}; {', '.join(texts)}"))
    if lineage.rollback:
        facts.append(("rollback", lineage.rollback))
    return facts


def _hint(store: MetadataStore) -> str:
    """What to give instead: the versions that were pushed last."""
    last = ", ".join(pushed_destinations(store)[-MAX_VERSIONS:])
    return f"give a pushed version, such as {last}" if last else "none has been pushed yet"


def _counts(store: MetadataStore, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The size of the data that the model itself was trained on."""
    ingest = _nearest(steps).get("CaptionIngest", {"outputs": {}})
    examples = [artifact["id"] for artifact in ingest["outputs"].get("examples", [])]
    artifacts: list[metadata_store_pb2.Artifact] = store.get_artifacts_by_id(examples) if examples else []
    return json.loads(artifacts[0].custom_properties[records.COUNTS].string_value or "{}") if artifacts else {}


def _nearest(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Step -> its execution for this model; those for a base model are farther away.

    A comparison model's steps have its label in their names, as in `Trainer_gru`.
    """
    return {step["node"].partition("_")[0]: step for step in sorted(steps, key=lambda step: -step["distance"])}
