"""Where a model comes from: the data, features, vocabulary, settings and code that made it."""

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

from components import history, records
from pipeline import lineage

DATABASE = "metadata.sqlite"
SHOWN = 3  # versions that are named where a path is none


class UnknownModel(ValueError):
    """No model that ML Metadata knows lies there."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """A model and what made it.

    Attributes:
      model_id: the artifact.
      steps: see `history.ancestry`; the Trainer's is the last.
      evaluation: the latest one of the model, {decision, uri, id, metrics: {name: {value, low, high}}}; None if it was
        never measured.
      counts: of the data, {"images": {split: n}, "captions": n}.
    """

    model_id: int
    steps: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    counts: dict[str, Any]


def database_above(model_dir: str) -> str | None:
    """The database of the root that a directory lies in; None if there is none."""
    directory = os.path.abspath(model_dir)
    while directory != os.path.dirname(directory):
        path = os.path.join(directory, DATABASE)
        if os.path.isfile(path):
            return path
        directory = os.path.dirname(directory)
    return None


def find(store: MetadataStore, model_dir: str) -> Origin:
    """Finds out what made a model.

    Args:
      store: ML Metadata.
      model_dir: a pushed version, the directory with the versions (the newest is meant), or the model's artifact.

    Raises:
      UnknownModel: ML Metadata knows none there.
    """
    model = _model_at(store, os.path.realpath(model_dir))
    if model is None:
        raise UnknownModel(f"{model_dir}: no model that ML Metadata knows; {_known(store)}")
    steps = history.ancestry(store, [model.id])
    evaluation, measured = None, history.evaluation_of(store, model.id)
    if measured:
        decision = measured.custom_properties[records.DECISION].string_value
        figures = lineage.evaluation_in(measured.uri).get("models", {}).get("candidate", {})
        evaluation = {"id": measured.id, "uri": measured.uri, "decision": decision, "metrics": figures}
    ingest = _nearest(steps).get("CaptionIngest", {"outputs": {}})
    examples = [artifact["id"] for artifact in ingest["outputs"].get("examples", [])]
    counts = {}
    for artifact in store.get_artifacts_by_id(examples) if examples else []:
        counts = json.loads(artifact.custom_properties[records.COUNTS].string_value or "{}")
    return Origin(model.id, steps, evaluation, counts)


def _model_at(store: MetadataStore, path: str) -> metadata_store_pb2.Artifact | None:
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "saved_model.pb")):
        versions = [name for name in os.listdir(path) if name.isdecimal()]
        if versions and os.path.exists(os.path.join(path, max(versions, key=int), "saved_model.pb")):
            path = os.path.join(path, max(versions, key=int))
    for pushed in sorted(store.get_artifacts_by_type("PushedModel"), key=lambda artifact: -artifact.id):
        if os.path.realpath(pushed.custom_properties["pushed_destination"].string_value or "/") == path:
            return pushed_model(store, pushed)
    for model in store.get_artifacts_by_type("Model"):
        if path == os.path.realpath(model.uri) or path.startswith(os.path.realpath(model.uri) + os.sep):
            return model
    return None


def _known(store: MetadataStore) -> str:
    """What to give instead: the versions that were pushed last."""
    pushes = sorted(store.get_artifacts_by_type("PushedModel"), key=lambda artifact: artifact.id)
    places = dict.fromkeys(pushed.custom_properties["pushed_destination"].string_value for pushed in pushes)
    last = ", ".join(list(filter(None, places))[-SHOWN:])
    return f"give one that was pushed, as {last}" if last else "none has been pushed so far"


def pushed_model(store: MetadataStore, pushed: metadata_store_pb2.Artifact) -> metadata_store_pb2.Artifact | None:
    """The model that a push was of."""
    outputs = [
        event.execution_id
        for event in store.get_events_by_artifact_ids([pushed.id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    for event in store.get_events_by_execution_ids(sorted(outputs)[:1]) if outputs else []:
        if event.type == metadata_store_pb2.Event.INPUT and event.path.steps[0].key == "model":
            return store.get_artifacts_by_id([event.artifact_id])[0]
    return None


def _nearest(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Node -> its step that had a part in this model; those of the model that it began with are farther off."""
    return {step["node"]: step for step in sorted(steps, key=lambda step: -step["distance"])}


def tables(origin: Origin) -> Group:
    """The origin for people: what went in, and every step that had a part in it."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(origin):
        facts.add_row(name, Text(value))
    steps = Table("step", "execution", "run", "when", "took", "code", "commit", "made", box=None, pad_edge=False)
    for step in origin.steps:
        when = datetime.datetime.fromtimestamp(step["started"]).strftime("%Y-%m-%d %H:%M:%S")
        made = ", ".join(f"{key} {artifact['id']}" for key, found in step["outputs"].items() for artifact in found)
        code = str(step["parameters"].get("source", "–"))
        cells = (step["node"], str(step["execution"]), step["run"], when, f"{step['seconds']:.1f} s", code)
        steps.add_row(*cells, (step["commit"] or "–")[:12], made)
    return Group(facts, "", steps)


def _facts(origin: Origin) -> list[tuple[str, str]]:
    by_node = _nearest(origin.steps)

    def settings(node: str, *names: str) -> str:
        known = by_node.get(node, {}).get("parameters", {})
        return ", ".join(f"{name} {known[name]}" for name in names if name in known) or "–"

    images = ", ".join(f"{split} {number}" for split, number in origin.counts.get("images", {}).items())
    models = [artifact["uri"] for artifact in by_node.get("Trainer", {}).get("outputs", {}).get("model", [])]
    facts = [("model", ", ".join([f"artifact {origin.model_id}", *models]))]
    facts += [
        ("data", settings("CaptionIngest", "data_dir", "fingerprint", "limit")),
        ("", f"{images}; {origin.counts.get('captions', 0)} captions"),
        ("features", settings("FeatureExtractor", "backbone", "weights", "image_size", "fingerprint")),
        ("vocabulary", settings("Transform", "custom_config")),
        ("training", settings("Trainer", "epochs", "custom_config")),
    ]
    if origin.evaluation:
        metrics = origin.evaluation["metrics"].items()
        figures = ", ".join(f"{name} {lineage.figure_text(figure)}" for name, figure in metrics)
        facts.append(("evaluation", f"{origin.evaluation['decision']}; {figures}"))
    return facts
