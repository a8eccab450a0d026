"""The logs of a run's steps, from Kubernetes or from a directory where they are kept."""

import pathlib
import re
from collections.abc import Iterator

from kubernetes import client, config

NODE_NAME = "workflows.argoproj.io/node-name"  # Argo's annotation: a pod's own name may leave out the step


class NoLogs(RuntimeError):
    """The logs can't be read; the message says why."""


def read(namespace: str, run_id: str, step: str | None, directory: str | None = None) -> Iterator[tuple[str, str]]:
    """Reads the logs of a run's pods.

    Args:
      namespace: of the pods.
      run_id: of Kubeflow Pipelines.
      step: one step alone; None for all.
      directory: files POD.log, as log collectors keep them; None to ask Kubernetes.

    Yields:
      (pod, log), the oldest first.

    Raises:
      NoLogs: there is no cluster, or the pods or their logs are gone.
    """
    names = pods_of(namespace, run_id, step)
    if not names:
        raise NoLogs(f"Kubernetes knows no pods of run {run_id}" + (f" and step {step}" if step else ""))
    for name in names:
        yield name, _kept(directory, name) if directory else _asked(namespace, name)


def pods_of(namespace: str, run_id: str, step: str | None) -> list[str]:
    """The pods that run the steps' containers, the oldest first; each try has one of its own.

    Args and raises: see `read`.
    """
    try:
        config.load_config()
        pods = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
    except Exception as error:  # of several libraries
        raise NoLogs(f"no Kubernetes to ask ({_first_line(error)})") from None
    found = []
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        name = step_of((pod.metadata.annotations or {}).get(NODE_NAME, ""))
        if name and (step is None or name == step.lower()):
            found.append(pod.metadata.name)
    return found


def step_of(node: str) -> str | None:
    """The step whose container a pod runs, in lower case; None for KFP's own pods beside those.

    >>> step_of("sample-tn8gz.root.trainer.executor(0)")
    'trainer'
    """
    match = re.search(r"\.root\.([^.]+)\.executor(\(\d+\))?$", node)
    return match[1] if match else None


def _asked(namespace: str, pod: str) -> str:
    try:
        return client.CoreV1Api().read_namespaced_pod_log(pod, namespace, container="main")
    except client.ApiException as error:
        raise NoLogs(f"Kubernetes can't give the log of {pod} ({error.reason})") from None


def _kept(directory: str, pod: str) -> str:
    path = pathlib.Path(directory) / f"{pod}.log"
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise NoLogs(f"{path}: {error.strerror}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
