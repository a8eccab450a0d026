"""What the manifests and the compiled pipeline have to agree on. A real API server takes them in tests/cluster."""

import re

import yaml

from pipeline.config import Kubeflow
from tests.material import ROOT

MANIFESTS = ROOT / "kubeflow" / "manifests"


def documents(directory: str) -> list[dict]:
    files = sorted((MANIFESTS / directory).glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def pod_specs() -> list[dict]:
    everything = [*documents("base"), *documents("overlays/example")]
    return [each["spec"]["template"]["spec"] for each in everything if each["kind"] in ("StatefulSet", "Job")]


def test_the_names_are_those_of_the_config():
    cluster = Kubeflow()
    names = {(each["kind"], each["metadata"]["name"]) for each in documents("base") if "metadata" in each}
    assert ("Service", cluster.database.host) in names
    assert ("PersistentVolumeClaim", cluster.volume) in names
    [generator] = yaml.safe_load((MANIFESTS / "overlays/example/kustomization.yaml").read_text())["secretGenerator"]
    assert generator["name"] == cluster.database.secret
    [stateful_set] = [each for each in documents("base") if each["kind"] == "StatefulSet"]
    [container] = stateful_set["spec"]["template"]["spec"]["containers"]
    assert {"name": "MARIADB_DATABASE", "value": cluster.database.name} in container["env"]


def test_the_base_lists_all_its_files():
    kustomization = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())
    files = {file.name for file in (MANIFESTS / "base").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


def test_every_pod_is_restricted_and_writes_to_volumes_alone():
    assert len(pod_specs()) == 2
    for spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]


def test_no_password_is_committed():
    for file in MANIFESTS.rglob("*"):
        if file.is_file() and file.name != "secret.env":
            assert not re.search(r"password\s*[=:]\s*\S", file.read_text(), re.IGNORECASE), file


def test_only_steps_reach_the_database():
    [policy] = [each for each in documents("base") if each["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"pipelines.kubeflow.org/v2_component": "true"}}}]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy["spec"]
