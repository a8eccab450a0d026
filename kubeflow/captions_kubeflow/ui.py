"""What Kubeflow Pipelines' UI shows of a step: the metrics of the evaluation, and the report."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from tfx.dsl.io import fileio
from tfx.types.artifact import Artifact

from components import history
from components.records import CANDIDATE_ID, DECISION, REPORT_FILE, UNCHANGED

METRICS, REPORT = "metrics", "html"  # the KFP artifacts of the evaluator's step and of the report's
# where KFP's launcher looks for a file before it uploads it, as in `kfp.dsl.Artifact.path`
LOCAL = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
SHOWN = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "meteor")


def show(store: MetadataStore, outputs: Mapping[str, Artifact], executor_input: str) -> None:
    """Hands the metrics of a step's evaluation, or the report, to the UI.

    Args:
      store: ML Metadata.
      outputs: of the node that has run.
      executor_input: KFP's placeholder `{{$}}` filled in: JSON that names the file for what is to be shown. Where the
        placeholder was not filled in, there is no UI to show it.
    """
    if not {"evaluation", "report"} & outputs.keys() or not executor_input or executor_input.startswith("{{"):
        return
    wanted = json.loads(executor_input)["outputs"]
    if "report" in outputs:
        _show_report(store, outputs["report"], wanted)
        return
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
    if not history.says_something(evaluation):
        model_id = outputs["blessing"].get_int_custom_property("current_model_id")
        evaluation = history.evaluation_of(store, model_id) or evaluation
    found = evaluation.custom_properties
    return {DECISION: decision} | {name: found[name].double_value for name in SHOWN if name in found}


def executor_output(metrics: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """KFP's executor output: the metrics as metadata of the artifact.

    Args:
      metrics: name -> value.
      wanted: `outputs` of the executor input.
    """
    [artifact] = wanted["artifacts"][METRICS]["artifacts"]
    return {"artifacts": {METRICS: {"artifacts": [{**artifact, "metadata": dict(metrics)}]}}}


def _show_report(store: MetadataStore, report: Artifact, wanted: Mapping[str, Any]) -> None:
    """Puts the report where KFP's launcher takes it from; where it can't be put there, the step has done its work."""
    uri: str = report.uri
    if report.get_string_custom_property(DECISION) == UNCHANGED:  # it was written when the model was measured
        earlier = history.report_of(store, report.get_int_custom_property(CANDIDATE_ID))
        uri = earlier.uri if earlier else uri
    source = os.path.join(uri, REPORT_FILE)
    target = wanted["artifacts"][REPORT]["artifacts"][0]["uri"]
    for scheme, directory in LOCAL.items():
        target = target.replace(scheme, directory, 1) if target.startswith(scheme) else target
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with fileio.open(source) as read, open(target, "w", encoding="utf-8") as write:
            write.write(read.read())
    except OSError as error:
        logging.warning("%s is not shown in the UI: %s", source, error)
