"""The two descriptions of CI, .ci/run and GitHub's workflow: both run targets of make, and the same ones."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.factories import ROOT

TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TOOLS = ("bash", "dirname", "id", "mktemp", "realpath", "rm")  # that .ci/run needs in any case
NEED_SERVERS = {"test-cluster", "test-mysql", "test-s3", "test-spark"}


def targets_of_run() -> set[str]:
    return set(re.findall(r"\bmake ([a-z0-9-]+)", re.sub("#.*", "", (ROOT / ".ci" / "run").read_text())))


def targets_of_workflow() -> set[str]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    targets = set()
    for job in workflow["jobs"].values():
        for command in filter(None, (step.get("run") for step in job["steps"])):
            [target] = re.fullmatch(r"make (.+)", command).groups()
            if target == "${{ matrix.target }}":
                targets |= {row["target"] for row in job["strategy"]["matrix"]["include"]}
            else:
                targets.add(target)
    return targets


def test_every_target_exists():
    assert targets_of_run() <= TARGETS and targets_of_workflow() <= TARGETS


def test_both_run_the_same_targets():
    """The workflow runs the fast tests apart, on pull requests, and has no servers."""
    assert targets_of_workflow() - {"test-unit"} == targets_of_run() - NEED_SERVERS


def test_the_workflow_tests_both_sets_of_packages():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    rows = workflow["jobs"]["check"]["strategy"]["matrix"]["include"]
    for target in ("test-unit", "test-wheel"):
        assert {row["tfx"] for row in rows if row["target"] == target} == {"1.16", "1.21"}


def test_what_lies_beside_the_checkout_is_known_in_one_file():
    assert "../shared" in (ROOT / ".ci" / "machine.sh").read_text()
    for path in (ROOT / ".ci" / "run", ROOT / "Makefile", *(ROOT / ".github").rglob("*.yml")):
        assert "shared" not in path.read_text(), path


@pytest.fixture
def run_ci(tmp_path):
    """Runs .ci/run in a checkout where `make` and other programs only write down how they are called."""
    checkout, programs, calls = tmp_path / "checkout", tmp_path / "bin", tmp_path / "calls"
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))

    def run(*names, beside=()):
        recorded = [programs / name for name in ("make", *names)] + [tmp_path / "shared" / name for name in beside]
        for program in recorded:
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f'#!{shutil.which("bash")}\necho "{program.name} $*" >>{calls}\n')
            program.chmod(0o755)
        command, variables = [checkout / ".ci" / "run"], {"PATH": str(programs)}
        process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        return calls.read_text().splitlines(), process.stdout

    return run


def test_what_a_machine_lacks_is_left_out_and_listed(run_ci):
    calls, output = run_ci()
    assert calls == ["make lint", "make test", "make test-wheel"]
    left_out = re.findall("^left out: (.+?), which needs", output[output.index("== passed") :], re.MULTILINE)
    assert left_out == [
        "the report in a browser",
        "S3 on a real store",
        "ML Metadata on a database server",
        "Spark",
        "TFX 1.21",
        "the image, and with it Kubeflow Pipelines",
    ]


def test_what_a_machine_has_is_run(run_ci):
    beside = ("debian13/run", "debian13/base-image", "s3/start", "s3/stop")
    calls, output = run_ci("git", "chromium", "java", "mvn", "mariadbd", "buildah", beside=beside)
    targets = [call.split()[1] for call in calls if call.startswith("make ")]
    servers = ["test-s3", "test-mysql", "test-spark"]
    assert targets == ["lint", "test", "test-wheel", "test-report", *servers, "image", "test-image"]
    assert "run make test" in calls  # in Debian 13
    assert [call for call in calls if call.startswith("buildah commit")] == [
        "buildah commit --quiet --rm  localhost/captions:sealed"
    ]
    assert output.count("left out: Kubeflow Pipelines") == 2  # where it would be run, and at the end
