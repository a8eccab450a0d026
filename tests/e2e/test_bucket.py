"""Runs whose root and data are in a bucket. They build on each other: a bucket is not reset as quickly as a disk."""

import dataclasses
import os
import pathlib
import re
import sqlite3
import time

import fsspec
import pytest

from benchmarks import s3_store
from benchmarks.fork_server import ForkServer
from components.shared import records, scenes, storage
from components.shared.artifact_types import Features
from pipeline.database import open_metadata
from tests.e2e.bucket_sandbox import PASSWORD, BucketSandbox
from tests.e2e.sandbox import done, states
from tests.factories import STEPS

NUM_ADDED = 5


@dataclasses.dataclass
class Story:
    """What three runs made of a bucket.

    Attributes:
      sandbox: bucket and disk.
      fork_server: executes further commands.
      first: the summary of the first run; that of `again`, with nothing new, and of `added`, with added images.
      files: the files on the disk after the first run.
      versions: the served versions after each run.
    """

    sandbox: BucketSandbox
    fork_server: ForkServer
    first: dict
    again: dict
    added: dict
    files: set[str]
    versions: list[list[str]]

    def print(self, name: str, *arguments: str) -> str:
        """What a command prints."""
        run = self.sandbox.execute(self.fork_server, self.sandbox.arguments(name, *arguments))
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def story(s3, tmp_path_factory, fork_server):
    with pytest.MonkeyPatch.context() as environment, s3_store.new_bucket(s3) as bucket:
        for name, value in s3.items():
            environment.setenv(name, value)
        environment.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path_factory.mktemp("node_cache_of_the_tests")))
        fsspec.filesystem("s3").clear_instance_cache()
        sandbox = BucketSandbox(tmp_path_factory.mktemp("bucket"), bucket, s3)
        with sandbox.start(sandbox.arguments("run")) as process:  # alone, for its own temporary directory
            out, _ = process.communicate()
        assert process.returncode == 0, out
        first, files, versions = sandbox.summary() | {"out": out}, sandbox.files(), [sandbox.versions()]
        again = sandbox.run(fork_server)
        versions.append(sandbox.versions())
        sandbox.add_images(NUM_ADDED)
        added = sandbox.run(fork_server)
        versions.append(sandbox.versions())
        yield Story(sandbox, fork_server, first, again, added, files, versions)
        fsspec.filesystem("s3").clear_instance_cache()


def test_the_first_run_pushes_a_blessed_model(story):
    assert states(story.first) == dict.fromkeys(STEPS, "done")
    assert (story.first["decision"], story.first["error"]) == ("blessed", None)
    assert story.first["data"]["images"] == {"train": 48, "eval": 6, "test": 6}
    [version] = story.versions[0]
    assert story.first["pushed_model"] == f"{story.sandbox.paths.serving}/{version}"
    assert storage.exists(f"{story.first['pushed_model']}/saved_model.pb")
    assert "blessed" in storage.read_text(story.first["report"])
    run = story.sandbox.paths.run(story.first["run_id"])
    assert storage.read_text(run.summary) == storage.read_text(run.summary)
    assert "CaptionIngest" in storage.read_text(run.log)


def test_nothing_is_left_on_the_disk_but_the_node_cache_and_the_metadata(story):
    of_libraries = ("home/.keras/", "home/.cache/matplotlib/")  # which they write when they are imported
    left = {file for file in story.files if not file.startswith(("cache/", *of_libraries))}
    assert left == {"metadata.sqlite"}
    assert not [file for file in story.files if file.startswith(("cache/scratch/", "cache/runs/", "cache/partial/"))]


def test_a_second_run_is_answered_from_the_cache(story):
    assert states(story.again) == done() | dict.fromkeys(["BleuEvaluator", "Pusher", "Report"], "unchanged")
    assert story.versions[1] == story.versions[0]
    assert (story.again["metrics"], story.again["report"]) == (story.first["metrics"], story.first["report"])


def test_of_added_images_they_alone_are_extracted(story):
    assert states(story.added)["FeatureExtractor"] == "done"
    assert story.added["data"]["images"] == {"train": 48 + NUM_ADDED, "eval": 6, "test": 6}
    with open_metadata(f"sqlite:///{story.sandbox.metadata}") as handle:
        features = sorted(handle.store.get_artifacts_by_type(Features.TYPE_NAME), key=lambda artifact: artifact.id)
    assert [artifact.custom_properties[records.COMPUTED].int_value for artifact in features] == [60, NUM_ADDED]
    assert story.added["decision"] == "blessed" and len(story.versions[2]) == 2


def test_the_model_is_loaded_from_the_bucket(story):
    image = story.sandbox.working / "image.jpg"
    image.write_bytes(scenes.jpeg(7, 0))
    try:
        command = ["caption", "--model", story.sandbox.paths.serving, image.name]
        run = story.sandbox.execute(story.fork_server, command)
    finally:
        image.unlink()
    assert re.fullmatch(r"image\.jpg\t[a-z ]+\n", run.stdout), run.stderr


def test_a_served_version_is_the_candidate_of_its_run(story):
    candidate = {name: entry.version for name, entry in storage.list_entries(story.added["candidate_model"]).items()}
    pushed = {name: entry.version for name, entry in storage.list_entries(story.added["pushed_model"]).items()}
    assert candidate == pushed and "saved_model.pb" in pushed


def test_runs_are_compared(story):
    out = story.print("compare")
    for summary in (story.first, story.added):
        assert summary["run_id"] in out.replace("\n", "")
    assert "blessed" in out


def test_a_model_has_its_lineage(story):
    assert "FeatureExtractor" in story.print("lineage", story.added["pushed_model"])


def test_the_data_is_described(story):
    assert "most frequent words of train" in story.print("stats")
    assert "facets-overview" in storage.read_text(story.sandbox.paths.statistics)


def test_the_feature_store_is_shown_and_cleared(story):
    assert "65" in story.print("features")
    story.print("features", "gc", "--yes")
    assert "65" in story.print("features")  # the last runs need all of them


def test_the_previous_model_is_served_again(story):
    before = story.sandbox.versions()
    story.print("rollback")
    [new] = set(story.sandbox.versions()) - set(before)
    serving, [first] = story.sandbox.paths.serving, story.versions[0]
    assert {name: entry.version for name, entry in storage.list_entries(f"{serving}/{new}").items()} == {
        name: entry.version for name, entry in storage.list_entries(f"{serving}/{first}").items()
    }


def test_no_secret_is_in_a_file_an_object_or_a_row(story):
    secrets = {story.sandbox.environment["AWS_SECRET_ACCESS_KEY"].encode(), PASSWORD.encode()}
    names = []
    for name, content in story.sandbox.contents():
        assert not [secret for secret in secrets if secret in content], name
        names.append(name)
    assert len(names) > 100
    with sqlite3.connect(story.sandbox.metadata) as database:
        rows = list(database.iterdump())
    assert len(rows) > 100 and not [row for row in rows if any(secret.decode() in row for secret in secrets)]
    outputs = [summary["out"] for summary in (story.first, story.again, story.added)]
    assert not [out for out in outputs if any(secret.decode() in out for secret in secrets)]


NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"}
WRONG_KEYS = {"AWS_SECRET_ACCESS_KEY": "wrong"}
WRONG = {
    "no credentials": (NO_KEYS, "", r"s3://.*: access denied \(.*\): check the credentials"),
    "no such data": ({}, "data.dir=s3://no-such-bucket-{id}/data", r"data\.dir: s3://.* is not a directory"),
}
if os.environ.get(s3_store.REAL):
    WRONG["wrong secret"] = (WRONG_KEYS, "", r"s3://.*: access denied \(.*\)")  # moto's server checks no signatures
else:
    WRONG["no such bucket"] = ({}, "root=s3://no-such-bucket-{id}/captions", "no-such-bucket")  # SeaweedFS makes it


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_work_is_one_line_at_once(story, case):
    variables, setting, expected = WRONG[case]
    environment = {**story.sandbox.environment, **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    settings = [setting.format(id=pathlib.PurePath(story.sandbox.bucket).name)] if setting else []
    start = time.monotonic()
    run = story.sandbox.execute(story.fork_server, story.sandbox.arguments("run", settings=settings), environment)
    assert run.returncode == 2 and time.monotonic() - start < 30
    line, *help_lines = run.stderr.splitlines()
    assert re.search(expected, line) and all(text.startswith("  ") for text in help_lines), run.stderr
