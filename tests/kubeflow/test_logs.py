"""Requests for logs. A mock replaces the API of Kubernetes; tests/cluster uses the real one."""

import datetime
from unittest import mock

import pytest
from captions_kubeflow import logs
from kubernetes import client
from urllib3.exceptions import MaxRetryError

INGEST = "sample-tn8gz-system-container-impl-1"  # Argo leaves out the step if it has no retries
TRAINER = "sample-tn8gz-trainer-system-container-impl-2"
DRIVER = "sample-tn8gz-trainer-system-container-driver-3"
NODES = {
    INGEST: "sample-tn8gz.root.captioningest.executor",
    TRAINER: "sample-tn8gz.root.trainer.executor(0)",
    DRIVER: "sample-tn8gz.root.trainer-driver",
}


@pytest.fixture
def api(monkeypatch) -> mock.Mock:
    """Kubernetes, which lists a run's pods in another order than they were created in."""
    fake = mock.create_autospec(client.CoreV1Api, instance=True)
    minutes = {TRAINER: 3, INGEST: 1, DRIVER: 2}
    fake.list_namespaced_pod.return_value = client.V1PodList(
        items=[
            client.V1Pod(
                metadata=client.V1ObjectMeta(
                    name=name,
                    annotations={logs.NODE_NAME: NODES[name]},
                    creation_timestamp=datetime.datetime(2026, 11, 23, 3, minute, tzinfo=datetime.timezone.utc),
                )
            )
            for name, minute in minutes.items()
        ]
    )
    fake.read_namespaced_pod_log.side_effect = lambda pod, namespace, container: f"{container} of {pod} in {namespace}"
    monkeypatch.setattr(logs.config, "load_config", mock.Mock())
    monkeypatch.setattr(logs.client, "CoreV1Api", mock.Mock(return_value=fake))
    return fake


def test_the_logs_of_a_runs_steps_are_read_in_the_order_of_their_pods(api):
    assert list(logs.read("kubeflow", "run-1", None)) == [
        (INGEST, f"main of {INGEST} in kubeflow"),
        (TRAINER, f"main of {TRAINER} in kubeflow"),
    ]
    api.list_namespaced_pod.assert_called_once_with("kubeflow", label_selector="pipeline/runid=run-1")


def test_only_one_step_is_read(api):
    assert [pod for pod, _ in logs.read("kubeflow", "run-1", "Trainer")] == [TRAINER]


def test_the_step_of_a_comparison_model_is_read(api):
    pods = api.list_namespaced_pod.return_value.items
    pods[0].metadata.annotations[logs.NODE_NAME] = "sample-tn8gz.root.trainer-gru.executor(0)"
    assert [pod for pod, _ in logs.read("kubeflow", "run-1", "Trainer_gru")] == [TRAINER]


def test_logs_are_read_from_a_directory(api, tmp_path):
    (tmp_path / f"{TRAINER}.log").write_bytes(b"epoch 1 \xff\n")
    assert list(logs.read("kubeflow", "run-1", "Trainer", str(tmp_path))) == [(TRAINER, "epoch 1 \ufffd\n")]
    api.read_namespaced_pod_log.assert_not_called()


@pytest.mark.parametrize(
    ("step", "message"),
    [("Evaluator", "^no pods found for run run-1, step Evaluator$"), (None, "^no pods found for run run-1$")],
)
def test_missing_pods_are_an_error(api, step, message):
    if step is None:
        api.list_namespaced_pod.return_value.items = []
    with pytest.raises(logs.LogsNotFound, match=message):
        list(logs.read("kubeflow", "run-1", step))


def test_a_missing_log_is_an_error(api, tmp_path):
    api.read_namespaced_pod_log.side_effect = client.ApiException(reason="Not Found")
    with pytest.raises(logs.LogsNotFound, match=f"^Kubernetes has no log of {INGEST} .Not Found.$"):
        list(logs.read("kubeflow", "run-1", None))
    with pytest.raises(logs.LogsNotFound, match=f"{INGEST}.log: No such file or directory$"):
        list(logs.read("kubeflow", "run-1", None, str(tmp_path)))


@pytest.mark.parametrize(
    ("error", "cause"),
    [(MaxRetryError(None, "/api", "refused\nand more"), "refused"), (RuntimeError(), "RuntimeError")],
)
def test_an_unreachable_kubernetes_is_one_line(api, error, cause):
    api.list_namespaced_pod.side_effect = error
    with pytest.raises(logs.LogsNotFound, match=r"^Kubernetes unreachable \(.*" + cause) as caught:
        list(logs.read("kubeflow", "run-1", None))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("node", "step"),
    [
        (NODES[INGEST], "captioningest"),
        (NODES[TRAINER], "trainer"),
        (NODES[DRIVER], None),
        ("sample-tn8gz.root.trainer-gru.executor(0)", "trainer-gru"),
        ("sample-tn8gz.root-driver", None),
        ("sample-tn8gz", None),
        ("", None),
    ],
)
def test_a_pod_belongs_to_a_step_or_to_kfp(node, step):
    assert logs.step_of(node) == step
