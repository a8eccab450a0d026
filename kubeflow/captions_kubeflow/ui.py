"""What Kubeflow Pipelines' UI shows of a step: the metrics of the evaluation."""

import json
import os
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from tfx.types.artifact import Artifact

from components import history
from components.records import DECISION, UNCHANGED

METRICS = "metrics"  # the KFP artifact of the evaluator's step
BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")


def show(store: MetadataStore, outputs: Mapping[str, Artifact], executor_input: str) -> None:
    """Hands the metrics of a step's evaluation to the UI.

    Args:
      store: ML Metadata.
      outputs: of the node that has run.
      executor_input: KFP's placeholder `{{$}}` filled in: JSON that names the file for what is to be shown. Where the
        placeholder was not filled in, there is no UI to show it.
    """
    if "evaluation" not in outputs or not executor_input or executor_input.startswith("{{"):
        return
    wanted = json.loads(executor_input)["outputs"]
    text = json.dumps(executor_output(metrics_of(store, outputs), wanted))
    os.makedirs(os.path.dirname(wanted["outputFile"]), exist_ok=True)
    with open(wanted["outputFile"], "w", encoding="utf-8") as file:
        file.write(text)


def metrics_of(store: MetadataStore, outputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """The decision, and the metrics that it rests on."""
    evaluation, decision = (
        outputs["evaluation"].mlmd_artifact,
        outputs["evaluation"].get_string_custom_property(DECISION),
    )
    if decision == UNCHANGED:
        model_id = outputs["blessing"].get_int_custom_property("current_model_id")
        evaluation = history.evaluation_of(store, model_id) or evaluation
    found = evaluation.custom_properties
    return {DECISION: decision} | {name: found[name].double_value for name in BLEU if name in found}


def executor_output(metrics: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """KFP's executor output: the metrics as metadata of the artifact.

    Args:
      metrics: name -> value.
      wanted: `outputs` of the executor input.
    """
    [artifact] = wanted["artifacts"][METRICS]["artifacts"]
    return {"artifacts": {METRICS: {"artifacts": [{**artifact, "metadata": dict(metrics)}]}}}
