"""Runs side by side: their metrics, and the settings in which they differ, from ML Metadata."""

import dataclasses
import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.table import Column, Table
from rich.text import Text
from tfx.orchestration.portable.mlmd import execution_lib

from components.shared import evaluations, records
from components.shared.mlmd.executions import COMMIT, first_producers, inputs_and_outputs, properties_of
from components.shared.mlmd.results import evaluation_with_results
from components.shared.mlmd.runs import executions_by_node, other_pipelines, runs_of
from components.shared.models.description import format_parameters
from pipeline.errors import UserError, hint_at_pipelines
from pipeline.step_settings import config_keys, format_setting

DEFAULT_RUNS = 5  # number of runs that are compared where none is named


class RunNotFound(UserError):
    """There is no such run, or none at all."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What ML Metadata knows of a run.

    Attributes:
      name: the run ID.
      started: the start, in seconds since 1970.
      settings: key in a config file -> value, of the steps that the run reached.
      data: the fingerprint of captions and images.
      commit: the version of the code that trained the model; "" where it is not known.
      evaluation: the content of `evaluation.json`, of the run that evaluated the model; empty without an evaluation.
      num_parameters: number of the model's parameters; 0 where it is not known.
      decision: the run's decision; "" if the run did not reach it.
      failed: the steps that failed.
    """

    name: str
    started: float
    settings: dict[str, Any]
    data: str
    commit: str
    evaluation: dict[str, Any]
    decision: str
    num_parameters: int = 0
    failed: tuple[str, ...] = ()


def find(store: MetadataStore, pipeline_name: str, names: Sequence[str], root: str) -> list[Run]:
    """Finds runs.

    Args:
      store: ML Metadata.
      pipeline_name: the pipeline whose runs to find.
      names: run IDs, or unique prefixes or suffixes of them; without any, the last runs that were evaluated.
      root: what an error calls the root of ML Metadata.

    Raises:
      RunNotFound: there is no such run; the message names the last ones.
    """
    contexts = runs_of(store, pipeline_name)
    if not contexts:
        others = hint_at_pipelines(other_pipelines(store, pipeline_name))
        raise RunNotFound(f"no run of {pipeline_name} in {root} yet{others}")
    if names:
        return [read(store, _named(contexts, name)) for name in names]
    last = _last_evaluated(store, contexts, DEFAULT_RUNS)
    if not last:
        raise RunNotFound(
            f"no run of {pipeline_name} in {root} has been evaluated yet; another pipeline: --config or --root"
        )
    return last[::-1]


def count_evaluated(store: MetadataStore, pipeline_name: str, most: int = 2) -> int:
    """The number of runs that were evaluated, as far as some number: no earlier ones are read."""
    return len(_last_evaluated(store, runs_of(store, pipeline_name), most))


def _last_evaluated(store: MetadataStore, contexts: Sequence[metadata_store_pb2.Context], most: int) -> list[Run]:
    """The last runs that were evaluated, the latest first; after years of runs, the earlier ones are not even read."""
    evaluated = (run for run in (read(store, context) for context in reversed(contexts)) if run.decision)
    return list(itertools.islice(evaluated, most))


def table(runs: Sequence[Run], all_settings: bool = False) -> Table:
    """A column per run: its metrics, and the settings in which the runs differ.

    Args:
      runs: the runs, of `find`.
      all_settings: whether to include settings that do not differ.
    """
    rows = Table(Column(no_wrap=True), *(run.name for run in runs), box=None, pad_edge=False)
    times = [datetime.datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M") for run in runs]
    rows.add_row("started", *times)
    rows.add_row("decision", *(_outcome(run) for run in runs))
    metrics = _metrics_info(runs)
    for name, info in metrics.items():
        _add_metric(rows, runs, evaluations.CANDIDATE, name, info)
    models = {label for run in runs for label in run.evaluation.get("models", {})}
    for model in sorted(models - {evaluations.CANDIDATE, evaluations.BASELINE}):
        for name, info in metrics.items():
            if info["higher_is_better"] is not None:
                _add_metric(rows, runs, model, name, info)
    rows.add_row("parameters", *(_size(run) for run in runs))
    rows.add_row("commit", *(run.commit[:12] or "–" for run in runs))
    rows.add_row("data", *(run.data[:16] or "–" for run in runs))
    test_sets = [run.evaluation.get("test_set", "–") for run in runs]
    rows.add_row("test set", *test_sets, style="bold red" if len(set(test_sets) - {"–"}) > 1 else "")
    rows.add_section()
    for key in sorted({key for run in runs for key in run.settings}):
        # a run that failed before the step has no value, which is no difference
        values = [run.settings.get(key) for run in runs if key in run.settings or run.decision]
        if all_settings or any(value != values[0] for value in values):
            rows.add_row(key, *(Text(format_setting(run.settings.get(key, "–"))) for run in runs))
    return rows


def _size(run: Run) -> str:
    return format_parameters(run.num_parameters).removesuffix(" parameters") if run.num_parameters else "–"


def _outcome(run: Run) -> str:
    return ", ".join(filter(None, [run.decision, *(f"{step} failed" for step in run.failed)])) or "–"


def _metrics_info(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Metric -> its description; the latest run has today's labels and order."""
    metrics: dict[str, dict[str, Any]] = {}
    for run in reversed(runs):
        metrics |= {k: v for k, v in run.evaluation.get("metrics_info", {}).items() if k not in metrics}
    return metrics


def _add_metric(rows: Table, runs: Sequence[Run], model: str, name: str, info: Mapping[str, Any]) -> None:
    """Adds a row with a metric of one of the evaluated models; none if no run has it."""
    metrics = [run.evaluation.get("models", {}).get(model, {}).get(name) for run in runs]
    if any(metrics):
        label = info["label"] if model == evaluations.CANDIDATE else f"{model}: {info['label']}"
        cells = (evaluations.format_metric(metric, info["decimals"]) if metric else "–" for metric in metrics)
        rows.add_row(label, *cells)


def _named(contexts: Sequence[metadata_store_pb2.Context], name: str) -> metadata_store_pb2.Context:
    exact = [context for context in contexts if context.name == name]
    matches = exact or [c for c in contexts if c.name.startswith(name) or c.name.endswith(name)]
    if len(matches) == 1:
        return matches[0]
    last = ", ".join(context.name for context in (matches or contexts)[-DEFAULT_RUNS:])
    if matches:
        raise RunNotFound(f"{name}: ambiguous, it matches: {last}")
    raise RunNotFound(f"{name}: no such run; the last ones are: {last}")


def read(store: MetadataStore, context: metadata_store_pb2.Context) -> Run:
    """Reads a run, of its context in ML Metadata."""
    settings: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    decision, num_parameters = "", 0
    steps, failed = _steps(store, context)
    for node, execution in steps.items():
        settings |= config_keys(node, properties_of(execution))
        _, outputs = inputs_and_outputs(store, execution.id)
        if node == "Trainer":
            num_parameters = sum(_num_parameters(artifact) for artifact in outputs.get("weights", []))
        for artifact in outputs.get("evaluation", []):
            decision = evaluations.decision_of(artifact)
            latest = evaluation_with_results(store, artifact)
            evaluation = evaluations.read_evaluation(latest.uri) if latest else {}
    data, commit = _property(steps, "CaptionIngest", records.FINGERPRINT), _property(steps, "Trainer", COMMIT)
    started = context.create_time_since_epoch / 1000
    return Run(context.name, started, settings, data, commit, evaluation, decision, num_parameters, failed)


def _num_parameters(weights: metadata_store_pb2.Artifact) -> int:
    properties = weights.custom_properties  # reading an absent key would add it
    return properties[records.NUM_PARAMETERS].int_value if records.NUM_PARAMETERS in properties else 0


def _property(steps: dict[str, metadata_store_pb2.Execution], node: str, name: str) -> str:
    return steps[node].custom_properties[name].string_value if node in steps else ""


def _steps(
    store: MetadataStore, context: metadata_store_pb2.Context
) -> tuple[dict[str, metadata_store_pb2.Execution], tuple[str, ...]]:
    """The steps of a run, and the names of those that failed.

    A step is the execution that made its outputs, in this run or in the earlier one that the cache reused. Failed steps
    are included for their settings.
    """
    steps: dict[str, metadata_store_pb2.Execution] = {}
    failed: dict[str, metadata_store_pb2.Execution] = {}
    for node, execution in executions_by_node(store, context):
        if execution_lib.is_execution_successful(execution):
            steps[node] = _producer(store, execution)
        elif execution_lib.is_execution_failed(execution):
            failed[node] = execution
    failed = {node: execution for node, execution in failed.items() if node not in steps}
    return steps | failed, tuple(failed)


def _producer(store: MetadataStore, execution: metadata_store_pb2.Execution) -> metadata_store_pb2.Execution:
    """The execution that made the outputs of one that the cache answered; any other execution itself."""
    if execution.last_known_state != metadata_store_pb2.Execution.CACHED:
        return execution
    _, outputs = inputs_and_outputs(store, execution.id)
    artifacts = [artifact.id for values in outputs.values() for artifact in values]
    producers = first_producers(store, artifacts).values()
    # of a step that put out some earlier outputs, too, the last is its own
    return store.get_executions_by_id([max(producers)])[0] if producers else execution
