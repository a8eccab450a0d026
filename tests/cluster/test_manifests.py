"""The manifests, given to a real API server, in a namespace that enforces pod security `restricted`."""

import pathlib
import shutil
import subprocess
import uuid

import pytest
import yaml

from tests.material import ROOT

LEVEL = "restricted"


def kubectl(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(["kubectl", *arguments], input=given, check=False, capture_output=True, text=True)


@pytest.fixture
def namespace():
    name = f"captions-{uuid.uuid4().hex[:8]}"
    modes = {f"pod-security.kubernetes.io/{mode}": LEVEL for mode in ("enforce", "warn", "audit")}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": modes}}
    assert kubectl("apply", "-f", "-", given=yaml.safe_dump(made)).returncode == 0
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def overlay(namespace, tmp_path) -> pathlib.Path:
    """The example, as its README line says: copied, with a Secret and a namespace."""
    shutil.copytree(ROOT / "kubeflow" / "manifests", tmp_path / "manifests")
    directory = tmp_path / "manifests" / "overlays" / "example"
    (directory / "secret.env").write_text("user=captions\npassword=of-a-test\n")
    kustomization = directory / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("namespace: kubeflow", f"namespace: {namespace}"))
    return directory


def test_nothing_is_refused_under_restricted_pod_security(namespace, overlay):
    applied = kubectl("apply", "-k", str(overlay))
    assert applied.returncode == 0, applied.stderr
    assert "Warning" not in applied.stderr
    rendered = list(yaml.safe_load_all(kubectl("kustomize", str(overlay)).stdout))
    owners = [each["spec"] for each in rendered if each["kind"] in ("StatefulSet", "Job")]
    assert len(owners) == 2
    for owner in owners:
        # as their controllers make them
        claims = [{"name": each["metadata"]["name"], "emptyDir": {}} for each in owner.get("volumeClaimTemplates", [])]
        template = owner["template"]["spec"]
        spec = {**template, "volumes": template["volumes"] + claims}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec}
        tried = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", given=yaml.safe_dump(pod))
        assert tried.returncode == 0 and "Warning" not in tried.stderr, tried.stderr


def test_the_same_pod_as_root_would_be_refused(namespace, overlay):
    spec = {"containers": [{"name": "main", "image": "captions"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec}
    tried = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", given=yaml.safe_dump(pod))
    assert "violates PodSecurity" in tried.stderr
