"""What is asked of Kubernetes for logs. A fake stands in for its API; the real one is asked in tests/cluster."""

import datetime
from unittest import mock

import pytest
from captions_kubeflow import logs
from kubernetes import client
from urllib3.exceptions import MaxRetryError

INGEST = "sample-tn8gz-system-container-impl-1"  # Argo leaves out the step where it is not to be tried again
TRAINER = "sample-tn8gz-trainer-system-container-impl-2"
DRIVER = "sample-tn8gz-trainer-system-container-driver-3"
NODES = {
    INGEST: "sample-tn8gz.root.captioningest.executor",
    TRAINER: "sample-tn8gz.root.trainer.executor(0)",
    DRIVER: "sample-tn8gz.root.trainer-driver",
}


@pytest.fixture
def api(monkeypatch) -> mock.Mock:
    """Kubernetes, with a run's pods listed in another order than they were made in."""
    fake = mock.create_autospec(client.CoreV1Api, instance=True)
    made = {TRAINER: 3, INGEST: 1, DRIVER: 2}
    fake.list_namespaced_pod.return_value = client.V1PodList(
        items=[
            client.V1Pod(
                metadata=client.V1ObjectMeta(
                    name=name,
                    annotations={logs.NODE_NAME: NODES[name]},
                    creation_timestamp=datetime.datetime(2026, 11, 23, 3, minute, tzinfo=datetime.timezone.utc),
                )
            )
            for name, minute in made.items()
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


def test_one_step_alone_is_read(api):
    assert [pod for pod, _ in logs.read("kubeflow", "run-1", "Trainer")] == [TRAINER]


def test_logs_are_read_where_they_are_kept(api, tmp_path):
    (tmp_path / f"{TRAINER}.log").write_bytes(b"epoch 1 \xff\n")
    assert list(logs.read("kubeflow", "run-1", "Trainer", str(tmp_path))) == [(TRAINER, "epoch 1 \ufffd\n")]
    api.read_namespaced_pod_log.assert_not_called()


@pytest.mark.parametrize(
    ("step", "message"),
    [("Evaluator", "^Kubernetes knows no pods of run run-1 and step Evaluator$"), (None, "^Kubernetes knows no pods")],
)
def test_pods_that_are_not_there_are_said(api, step, message):
    if step is None:
        api.list_namespaced_pod.return_value.items = []
    with pytest.raises(logs.NoLogs, match=message):
        list(logs.read("kubeflow", "run-1", step))


def test_a_log_that_is_gone_is_said(api, tmp_path):
    api.read_namespaced_pod_log.side_effect = client.ApiException(reason="Not Found")
    with pytest.raises(logs.NoLogs, match=f"^Kubernetes can't give the log of {INGEST} .Not Found.$"):
        list(logs.read("kubeflow", "run-1", None))
    with pytest.raises(logs.NoLogs, match=f"{INGEST}.log: No such file or directory$"):
        list(logs.read("kubeflow", "run-1", None, str(tmp_path)))


@pytest.mark.parametrize(
    ("error", "cause"),
    [(MaxRetryError(None, "/api", "refused\nand more"), "refused"), (RuntimeError(), "RuntimeError")],
)
def test_no_kubernetes_is_one_line(api, error, cause):
    api.list_namespaced_pod.side_effect = error
    with pytest.raises(logs.NoLogs, match=r"^no Kubernetes to ask \(.*" + cause) as caught:
        list(logs.read("kubeflow", "run-1", None))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("node", "step"),
    [
        (NODES[INGEST], "captioningest"),
        (NODES[TRAINER], "trainer"),
        (NODES[DRIVER], None),
        ("sample-tn8gz.root-driver", None),
        ("sample-tn8gz", None),
        ("", None),
    ],
)
def test_a_pod_is_of_a_step_or_of_kfp(node, step):
    assert logs.step_of(node) == step
