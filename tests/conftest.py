"""What the tests share, and the rule that none is skipped."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from PIL import Image

import components  # noqa: F401  before TensorFlow, of which it chooses the kernels
from components.progress import LOGGER


@pytest.fixture
def picture() -> Image.Image:
    """40 x 30 pixels, no two columns or rows alike."""
    picture = Image.new("RGB", (40, 30))
    picture.putdata([(6 * x, 8 * y, 255 - 6 * x) for y in range(30) for x in range(40)])
    return picture


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
