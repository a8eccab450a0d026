"""The logs of a run's steps, from Kubernetes or from a directory where they are kept."""

import pathlib
from collections.abc import Iterator

from kubernetes import client, config


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
    names = [name for name in _pods(namespace, run_id) if is_of_step(name, step)]
    if not names:
        raise NoLogs(f"Kubernetes knows no pods of run {run_id}" + (f" and step {step}" if step else ""))
    for name in names:
        yield name, _kept(directory, name) if directory else _asked(namespace, name)


def _pods(namespace: str, run_id: str) -> list[str]:
    try:
        config.load_config()
        pods = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
    except Exception as error:  # of several libraries
        raise NoLogs(f"no Kubernetes to ask ({_first_line(error)})") from None
    return [pod.metadata.name for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp)]


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


def is_of_step(pod: str, step: str | None) -> bool:
    """Whether a pod runs a step's container; KFP has pods of its own beside those.

    >>> is_of_step("sample-tn8gz-trainer-system-container-impl-1119471712", "Trainer")
    True
    """
    name, found, _ = pod.partition("-system-container-impl-")
    return bool(found) and (step is None or name.endswith(f"-{step.lower()}"))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
