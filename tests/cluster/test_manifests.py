"""The manifests, applied to a real API server in a namespace that enforces pod security `restricted`."""

import pathlib
import shutil
import subprocess
import uuid

import pytest
import yaml

from tests.factories import ROOT

LEVEL = "restricted"


def kubectl(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(["kubectl", *arguments], input=stdin, check=False, capture_output=True, text=True)


@pytest.fixture
def namespace():
    name = f"captions-{uuid.uuid4().hex[:8]}"
    modes = {f"pod-security.kubernetes.io/{mode}": LEVEL for mode in ("enforce", "warn", "audit")}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": modes}}
    assert kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest)).returncode == 0
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def overlay(namespace, tmp_path) -> pathlib.Path:
    """A copy of the example with a Secret and a namespace, as docs/cluster.md describes."""
    shutil.copytree(ROOT / "kubeflow" / "manifests", tmp_path / "manifests")
    directory = tmp_path / "manifests" / "overlays" / "example"
    (directory / "secret.env").write_text("user=captions\npassword=of-a-test\n")
    kustomization = directory / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("namespace: kubeflow", f"namespace: {namespace}"))
    return directory


def test_manifests_comply_with_restricted_pod_security(namespace, overlay):
    applied = kubectl("apply", "-k", str(overlay))
    assert applied.returncode == 0, applied.stderr
    assert "Warning" not in applied.stderr
    rendered = list(yaml.safe_load_all(kubectl("kustomize", str(overlay)).stdout))
    owners = [resource["spec"] for resource in rendered if resource["kind"] in ("StatefulSet", "Job")]
    assert len(owners) == 2
    for owner in owners:
        # as their controllers create the pods
        names = [template["metadata"]["name"] for template in owner.get("volumeClaimTemplates", [])]
        claims = [{"name": name, "emptyDir": {}} for name in names]
        template = owner["template"]["spec"]
        spec = {**template, "volumes": template["volumes"] + claims}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry-run"}, "spec": spec}
        result = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
        assert result.returncode == 0 and "Warning" not in result.stderr, result.stderr


def test_a_pod_without_a_security_context_is_rejected(namespace, overlay):
    spec = {"containers": [{"name": "main", "image": "captions"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry-run"}, "spec": spec}
    result = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    assert "violates PodSecurity" in result.stderr
