"""What the UI of Kubeflow Pipelines shows of a step: the metrics of the evaluation, and the report."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from tfx.types.artifact import Artifact

from components.shared import storage
from components.shared.evaluations import decision_of, read_evaluation
from components.shared.mlmd.results import evaluation_with_results, report_with_results
from components.shared.records import DECISION, REPORT_FILE

METRICS, REPORT = "metrics", "html"  # KFP artifacts of the steps BleuEvaluator and Report
# where KFP's launcher looks for a file before it uploads it, as in `kfp.dsl.Artifact.path`
LOCAL_DIRECTORIES = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


def show(store: MetadataStore, outputs: Mapping[str, Artifact], executor_input: str) -> None:
    """Passes the metrics of an evaluation, or the report, to the UI.

    Args:
      store: ML Metadata.
      outputs: output artifacts of the node that has run.
      executor_input: KFP's placeholder `{{$}}` filled in: JSON that names the files to write. If the placeholder is not
        filled in, there is no UI.
    """
    if not {"evaluation", "report"} & outputs.keys() or not executor_input or executor_input.startswith("{{"):
        return
    kfp_outputs = json.loads(executor_input)["outputs"]
    if "report" in outputs:
        _show_report(store, outputs["report"], kfp_outputs)
        return
    text = json.dumps(executor_output(metrics_of(store, outputs), kfp_outputs))
    storage.write_text(kfp_outputs["outputFile"], text)


def metrics_of(store: MetadataStore, outputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Returns the decision, and the metrics that it is based on: label -> value."""
    evaluation = outputs["evaluation"].mlmd_artifact
    decision = decision_of(evaluation)
    evaluation = evaluation_with_results(store, evaluation) or evaluation
    # the evaluator's floating-point properties are its metrics; its file, if it still exists, has labels and order
    properties = evaluation.custom_properties.items()
    metrics = {name: value.double_value for name, value in properties if value.HasField("double_value")}
    labels = {name: info["label"] for name, info in read_evaluation(evaluation.uri).get("metrics_info", {}).items()}
    names = [name for name in labels if name in metrics] + sorted(metrics.keys() - labels.keys())
    return {DECISION: decision, **{labels.get(name, name): metrics[name] for name in names}}


def executor_output(metrics: Mapping[str, Any], kfp_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Builds KFP's executor output: the metrics as metadata of the artifact.

    Args:
      metrics: label -> value.
      kfp_outputs: `outputs` of the executor input.
    """
    [artifact] = kfp_outputs["artifacts"][METRICS]["artifacts"]
    return {"artifacts": {METRICS: {"artifacts": [{**artifact, "metadata": dict(metrics)}]}}}


def _show_report(store: MetadataStore, report: Artifact, kfp_outputs: Mapping[str, Any]) -> None:
    """Copies the report to where KFP's launcher uploads it from; a failure is only logged, since the step is done."""
    written = report_with_results(store, report.mlmd_artifact) or report.mlmd_artifact
    source = os.path.join(written.uri, REPORT_FILE)
    target = kfp_outputs["artifacts"][REPORT]["artifacts"][0]["uri"]
    for scheme, directory in LOCAL_DIRECTORIES.items():
        target = target.replace(scheme, directory, 1) if target.startswith(scheme) else target
    try:
        storage.write_bytes(target, storage.read_bytes(source))
    except OSError as error:
        logging.warning("the UI does not show %s: %s", source, error)
