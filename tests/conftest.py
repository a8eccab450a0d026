"""What the tests share, and the rule that none is skipped."""

import logging
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import fsspec
import pytest
from PIL import Image

import components  # noqa: F401  before TensorFlow, of which it chooses the kernels
from benchmarks import s3_store
from components.shared.progress import LOGGER
from tests.relay import Relay, relay

# files whose tests train, export or compile for seconds; `make test-unit` leaves them out
SLOW = (
    "advice/test_features.py",
    "advice/test_training.py",
    "components/bleu_evaluator/test_executor.py",
    "components/exporter",
    "components/feature_extractor/backbones",
    "components/feature_extractor/test_export.py",
    "components/feature_extractor/test_extract.py",
    "components/feature_extractor/test_store_in_bucket.py",
    "components/shared/models/test_conformance.py",
    "components/trainer/test_devices.py",
    "components/trainer/test_executor.py",
    "components/trainer/test_loop.py",
    "components/trainer/test_training.py",
    "components/trainer/test_warm_start.py",
    "kubeflow/test_commands.py",
    "kubeflow/test_compiler.py",
    "test_extending.py",
)


def pytest_configure() -> None:
    """Says what is missing before anything is collected."""
    if s3_store.is_missing(os.environ):
        raise pytest.UsageError(s3_store.NEEDS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow tests, and those that use an S3 server."""
    slow = [pathlib.Path(__file__).parent / place for place in SLOW]
    assert all(place.exists() for place in slow), "SLOW names a file that was moved"
    for item in items:
        if any(place in (item.path, *item.path.parents) for place in slow):
            item.add_marker(pytest.mark.slow)
        names = getattr(item, "fixturenames", ())
        if "s3" in names and "relayed" not in names:  # a relay changes signed requests, and speaks no TLS
            item.add_marker(pytest.mark.s3)


@pytest.fixture
def image() -> Image.Image:
    """40 x 30 pixels, no two columns or rows alike."""
    image = Image.new("RGB", (40, 30))
    image.putdata([(6 * x, 8 * y, 255 - 6 * x) for y in range(30) for x in range(40)])
    return image


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The environment that leads clients to a real S3 server; `make test-s3` runs the tests that use it on another."""
    with s3_store.s3_server() as environment:
        yield environment


@pytest.fixture
def bucket(s3, monkeypatch, tmp_path_factory) -> Iterator[str]:
    """The URI of an empty bucket on a real server, which the environment leads to, with a node cache of the test's."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path_factory.mktemp("node_cache")))
    fsspec.filesystem("s3").clear_instance_cache()  # credentials are read when a client is made
    with s3_store.new_bucket(s3) as uri:
        yield uri
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def relayed(bucket, monkeypatch) -> Iterator[Relay]:
    """A relay that the requests to `bucket` go through."""
    with relay(os.environ["AWS_ENDPOINT_URL_S3"]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        fsspec.filesystem("s3").clear_instance_cache()
        yield server


@pytest.fixture(autouse=True)
def log_levels():
    """What a test sets stays its own: the level of the root logger decides what others capture."""
    levels = {logger: logger.level for logger in (logging.getLogger(), LOGGER)}
    yield
    for logger, level in levels.items():
        logger.setLevel(level)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a failed run: what can't run here belongs into a target of its own."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
