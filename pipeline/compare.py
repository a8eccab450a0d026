"""Runs side by side: the settings in which they differ, and what came of them, from ML Metadata."""

import contextlib
import dataclasses
import datetime
import itertools
import json
from collections.abc import Sequence
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.table import Column, Table
from rich.text import Text
from tfx.dsl.compiler import constants

from components import history, records
from pipeline import lineage

DEFAULT = 5  # runs that are compared where none is named
METRICS = (
    "bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "meteor", "length", "vocabulary", "distinct", "copied",
)  # fmt: skip
METRICS_BESIDE = ("bleu_4", "cider")  # of models that were trained beside the candidate
# what drivers have found, and where things lie
NOT_SETTINGS = {
    "lineage", "evaluation_uri", "baseline_test_set", "baseline_files", "to_compare", "rolled_back",
    "previous_statistics", "memory_dir", "store_dir", "checkpoint_dir", history.COMMIT,
}  # fmt: skip
ENDED = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class NoRun(ValueError):
    """There is no such run, or none at all."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What ML Metadata knows of a run.

    Attributes:
      name: its id.
      started: seconds since 1970.
      settings: "Step.setting" -> value, of the steps that it came to.
      data: fingerprint of the captions and pictures.
      commit: of the code that trained the model; "" where it is not known.
      evaluation: content of `evaluation.json`, of the run that measured the model; empty if it did not come so far.
      decision: of this run; "" where it did not come so far.
      failed: the steps that failed.
    """

    name: str
    started: float
    settings: dict[str, Any]
    data: str
    commit: str
    evaluation: dict[str, Any]
    decision: str
    failed: tuple[str, ...] = ()


def find(store: MetadataStore, pipeline_name: str, names: Sequence[str]) -> list[Run]:
    """Finds runs.

    Args:
      store: ML Metadata.
      pipeline_name: whose runs.
      names: ids, or how they begin or end, as long as it is clear; none: the last ones that were evaluated.

    Raises:
      NoRun: naming the last runs there are.
    """
    pipeline = store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    contexts = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    contexts = sorted(contexts, key=lambda context: context.create_time_since_epoch)
    if not contexts:
        raise NoRun(f"no run of {pipeline_name} so far{lineage.other_pipelines(store, pipeline_name)}")
    if names:
        return [_read(store, _named(contexts, name)) for name in names]
    evaluated = (run for run in (_read(store, context) for context in reversed(contexts)) if run.decision)
    last = list(itertools.islice(evaluated, DEFAULT))  # after years of runs, the earlier ones are not even read
    if not last:
        raise NoRun(f"no run of {pipeline_name} has come to the evaluation so far")
    return last[::-1]


def table(runs: Sequence[Run], everything: bool = False) -> Table:
    """A column a run: its metrics, and the settings in which the runs differ.

    Args:
      runs: of `find`.
      everything: show the settings in which they don't differ, too.
    """
    made = Table(Column(no_wrap=True), *(run.name for run in runs), box=None, pad_edge=False)
    times = [datetime.datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M") for run in runs]
    made.add_row("started", *times)
    made.add_row("decision", *(_outcome(run) for run in runs))
    for metric in METRICS:
        _add_figures(made, runs, "candidate", metric)
    beside = {name for run in runs for name in run.evaluation.get("models", {})} - {"candidate", "baseline"}
    for model in sorted(beside):
        for metric in METRICS_BESIDE:
            _add_figures(made, runs, model, metric)
    made.add_row("commit", *(run.commit[:12] or "–" for run in runs))
    made.add_row("data", *(run.data[:16] or "–" for run in runs))
    tests = [run.evaluation.get("test_set", "–") for run in runs]
    made.add_row("test set", *tests, style="bold red" if len(set(tests) - {"–"}) > 1 else "")
    made.add_section()
    for setting in sorted({name for run in runs for name in run.settings}):
        # what a run that failed before has no value for is no difference
        told = [run.settings.get(setting) for run in runs if setting in run.settings or run.decision]
        if everything or any(value != told[0] for value in told):
            values = [run.settings.get(setting) for run in runs]
            made.add_row(setting, *(Text("–" if value is None else str(value)) for value in values))
    return made


def _outcome(run: Run) -> str:
    return ", ".join(filter(None, [run.decision, *(f"{step} failed" for step in run.failed)])) or "–"


def _add_figures(made: Table, runs: Sequence[Run], model: str, metric: str) -> None:
    """A row with a metric of one of the models that were measured; none where no run has it."""
    figures = [run.evaluation.get("models", {}).get(model, {}).get(metric) for run in runs]
    if any(figures):
        name = metric if model == "candidate" else f"{model}: {metric}"
        made.add_row(name, *(lineage.figure_text(figure) if figure else "–" for figure in figures))


def _named(contexts: Sequence[metadata_store_pb2.Context], name: str) -> metadata_store_pb2.Context:
    exact = [context for context in contexts if context.name == name]
    found = exact or [c for c in contexts if c.name.startswith(name) or c.name.endswith(name)]
    if len(found) == 1:
        return found[0]
    last = ", ".join(context.name for context in (found or contexts)[-DEFAULT:])
    raise NoRun(f"{name}: {'which of these runs' if found else 'no such run; the last ones are'}: {last}")


def _read(store: MetadataStore, context: metadata_store_pb2.Context) -> Run:
    settings: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    decision = ""
    steps, failed = _steps(store, context)
    for node, execution in steps.items():
        settings |= {f"{node}.{name}": value for name, value in _settings(execution).items()}
        for artifact in _outputs(store, execution.id):
            if artifact.type != "ModelEvaluation":
                continue
            decision = artifact.custom_properties[records.DECISION].string_value
            measured: metadata_store_pb2.Artifact | None = artifact
            if not history.says_something(artifact):
                measured = history.evaluation_of(store, artifact.custom_properties[records.CANDIDATE_ID].int_value)
            evaluation = lineage.evaluation_in(measured.uri) if measured else {}
    data, commit = _property(steps, "CaptionIngest", records.FINGERPRINT), _property(steps, "Trainer", history.COMMIT)
    started = context.create_time_since_epoch / 1000
    return Run(context.name, started, settings, data, commit, evaluation, decision, failed)


def _property(steps: dict[str, metadata_store_pb2.Execution], node: str, name: str) -> str:
    return steps[node].custom_properties[name].string_value if node in steps else ""


def _steps(
    store: MetadataStore, context: metadata_store_pb2.Context
) -> tuple[dict[str, metadata_store_pb2.Execution], tuple[str, ...]]:
    """Step -> the execution that made its outputs, in this run or in the one that the cache had it from.

    Steps that failed are there, too, for their settings, and named besides.
    """
    steps: dict[str, metadata_store_pb2.Execution] = {}
    failed: dict[str, metadata_store_pb2.Execution] = {}
    for execution in sorted(store.get_executions_by_context(context.id), key=lambda execution: execution.id):
        nodes = [c.name.rpartition(".")[2] for c in store.get_contexts_by_execution(execution.id) if c.type == "node"]
        for node in nodes:
            if execution.last_known_state in ENDED:
                steps[node] = _maker(store, execution)
            elif execution.last_known_state == metadata_store_pb2.Execution.FAILED:
                failed[node] = execution
    failed = {node: execution for node, execution in failed.items() if node not in steps}
    return steps | failed, tuple(failed)


def _maker(store: MetadataStore, execution: metadata_store_pb2.Execution) -> metadata_store_pb2.Execution:
    """The execution that made what another put out from the cache."""
    outputs = [artifact.id for artifact in _outputs(store, execution.id)]
    if execution.last_known_state != metadata_store_pb2.Execution.CACHED or not outputs:
        return execution
    events = store.get_events_by_artifact_ids(outputs)
    first = min(event.execution_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT)
    return store.get_executions_by_id([first])[0]


def _settings(execution: metadata_store_pb2.Execution) -> dict[str, Any]:
    """An execution's properties; those that are JSON objects are opened, one level after the other."""
    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, str) and value.startswith("{"):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        else:
            found[name] = value

    for name, value in execution.custom_properties.items():
        if name not in NOT_SETTINGS | {records.FINGERPRINT}:
            add(name, getattr(value, value.WhichOneof("value") or "string_value"))
    return found


def _outputs(store: MetadataStore, execution_id: int) -> list[metadata_store_pb2.Artifact]:
    events = store.get_events_by_execution_ids([execution_id])
    ids = [event.artifact_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT]
    return list(store.get_artifacts_by_id(ids)) if ids else []
