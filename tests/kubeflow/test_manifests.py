"""Consistency of the manifests and the compiled pipeline. tests/cluster applies them to a real API server."""

import re

import yaml
from captions_kubeflow.cluster_paths import on_cluster

from pipeline.cli import main
from pipeline.config import KubeflowSettings
from pipeline.config_files import load
from tests.factories import ROOT

MANIFESTS = ROOT / "kubeflow" / "manifests"


def documents(directory: str) -> list[dict]:
    files = sorted((MANIFESTS / directory).glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def pod_specs() -> list[dict]:
    resources = [*documents("base"), *documents("overlays/example")]
    owners = [resource for resource in resources if resource["kind"] in ("StatefulSet", "Job")]
    return [owner["spec"]["template"]["spec"] for owner in owners]


def test_names_match_the_config():
    cluster = KubeflowSettings()
    resources = [resource for resource in documents("base") if "metadata" in resource]
    names = {(resource["kind"], resource["metadata"]["name"]) for resource in resources}
    assert ("Service", cluster.database.host) in names
    assert ("PersistentVolumeClaim", cluster.pvc_name) in names
    [generator] = yaml.safe_load((MANIFESTS / "overlays/example/kustomization.yaml").read_text())["secretGenerator"]
    assert generator["name"] == cluster.database.secret
    [stateful_set] = [resource for resource in resources if resource["kind"] == "StatefulSet"]
    [container] = stateful_set["spec"]["template"]["spec"]["containers"]
    assert {"name": "MARIADB_DATABASE", "value": cluster.database.name} in container["env"]


def test_the_overlay_for_a_bucket_has_two_secrets_and_no_volume():
    directory = MANIFESTS / "overlays/bucket"
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    patches = [yaml.safe_load(patch["patch"]) for patch in kustomization["patches"]]
    deleted = {(each["kind"], each["metadata"]["name"]) for each in patches if each.pop("$patch") == "delete"}
    claims = {(each["kind"], each["metadata"]["name"]) for each in documents("base") if "Claim" in each.get("kind", "")}
    assert deleted == claims == {("PersistentVolumeClaim", "captions")}
    ignored = (directory / ".gitignore").read_text().split()
    keys = {}
    for generator in kustomization["secretGenerator"]:
        [file] = generator["envs"]
        assert file in ignored
        lines = (directory / f"{file}.example").read_text().splitlines()
        keys[generator["name"]] = tuple(line.partition("=")[0] for line in lines)
    cluster = KubeflowSettings()
    assert keys == {cluster.database.secret: ("user", "password"), "captions-storage": cluster.storage_secret_keys}


def test_the_base_lists_all_its_files():
    kustomization = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())
    files = {file.name for file in (MANIFESTS / "base").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


def test_every_pod_is_restricted_and_writes_only_to_volumes():
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
        if file.is_file() and file.suffix != ".env":
            assert not re.search(r"(password|AWS_\w+)[ \t]*[=:][ \t]*\S", file.read_text(), re.IGNORECASE), file


def test_only_steps_reach_the_database():
    [policy] = [resource for resource in documents("base") if resource["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"pipelines.kubeflow.org/v2_component": "true"}}}]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy["spec"]


def test_the_job_of_the_sample_runs_a_command_that_exists():
    [job] = [resource for resource in documents("overlays/example") if resource["kind"] == "Job"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    assert program == main.PROGRAM
    args = main.build_parser(main.find_commands()).parse_args(arguments)
    assert args.directory == on_cluster(load()).data_dir
