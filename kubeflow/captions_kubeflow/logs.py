"""The logs of a run's steps, from Kubernetes or from a directory of log files."""

import pathlib
import re
from collections.abc import Iterator

from kubernetes import client, config

from captions_kubeflow.names import kfp_name
from pipeline.errors import UserError

NODE_NAME = "workflows.argoproj.io/node-name"  # Argo's annotation: a pod's own name may leave out the step


class LogsNotFound(UserError):
    """The logs can't be read; the message says why."""


def read(namespace: str, run_id: str, step: str | None, directory: str | None = None) -> Iterator[tuple[str, str]]:
    """Reads the logs of a run's pods.

    Args:
      namespace: namespace of the pods.
      run_id: the run's ID in Kubeflow Pipelines.
      step: name of the only step to read; None reads all.
      directory: directory of POD.log files, as log collectors write them; None asks Kubernetes.

    Yields:
      (pod, log), the oldest first.

    Raises:
      LogsNotFound: there is no cluster, or the pods or their logs do not exist.
    """
    pods = list_pods(namespace, run_id, step)
    if not pods:
        raise LogsNotFound(f"no pods found for run {run_id}" + (f", step {step}" if step else ""))
    for pod in pods:
        yield pod, _from_directory(directory, pod) if directory else _from_kubernetes(namespace, pod)


def list_pods(namespace: str, run_id: str, step: str | None) -> list[str]:
    """Lists the pods that run the steps' containers, the oldest first; each attempt has its own pod.

    Args and raises: see `read`.
    """
    try:
        config.load_config()
        pods = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
    except Exception as error:  # of several libraries
        raise LogsNotFound(f"Kubernetes unreachable ({_first_line(error)})") from None
    names = []
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        pod_step = step_of((pod.metadata.annotations or {}).get(NODE_NAME, ""))
        if pod_step and (step is None or pod_step == kfp_name(step)):
            names.append(pod.metadata.name)
    return names


def step_of(node: str) -> str | None:
    """Returns the step whose container a pod runs, as KFP writes its name; None for KFP's own pods.

    >>> step_of("sample-tn8gz.root.trainer.executor(0)")
    'trainer'
    """
    match = re.search(r"\.root\.([^.]+)\.executor(\(\d+\))?$", node)
    return match[1] if match else None


def _from_kubernetes(namespace: str, pod: str) -> str:
    try:
        return client.CoreV1Api().read_namespaced_pod_log(pod, namespace, container="main")
    except client.ApiException as error:
        raise LogsNotFound(f"Kubernetes has no log of {pod} ({error.reason})") from None


def _from_directory(directory: str, pod: str) -> str:
    path = pathlib.Path(directory) / f"{pod}.log"
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LogsNotFound(f"{path}: {error.strerror}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
