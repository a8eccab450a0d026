import logging
import threading

import pytest

from components.shared import progress
from components.shared.progress import Progress, ThrottledProgress, describe


class Clock:
    """The monotonic clock, set by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize(("rate", "eta"), [(24.0, "24.0/s, ETA 16 s"), (0.0, "0.0/s, ETA unknown")])
def test_a_line_has_count_rate_and_time_left(rate, eta):
    assert describe("images", 120, 500, rate) == f"120/500 images, {eta}"


def test_progress_is_reported_once_per_interval_and_at_the_end(caplog, clock):
    caplog.set_level(logging.INFO, "captions.progress")
    images = Progress("images", 10, interval=1.0)
    for _ in range(10):
        clock.now += 0.3
        images.update()
    assert [message.split(",")[0] for message in caplog.messages] == ["4/10 images", "8/10 images", "10/10 images"]


def test_logs_pass_every_line_but_throttled_progress(clock):
    throttled = ThrottledProgress(seconds=30.0)

    def passes(name: str) -> bool:
        return throttled.filter(logging.LogRecord(name, logging.INFO, "", 0, "", None, None))

    assert passes(progress.LOGGER.name)
    clock.now = 129.0
    assert not passes(progress.LOGGER.name) and passes("absl") and passes("absl")
    clock.now = 130.0
    assert passes(progress.LOGGER.name) and not passes(progress.LOGGER.name)


def test_each_progress_is_throttled_on_its_own_and_its_end_always_passes(caplog, clock):
    caplog.set_level(logging.INFO, "captions.progress")
    with caplog.filtering(ThrottledProgress(seconds=30.0)):
        for noun in ("images", "thumbnails", "thumbnails"):  # one step after the other, 4 s each
            counter = Progress(noun, 4)
            for _ in range(4):
                clock.now += 1.0
                counter.update()
        for message in ("epoch %d", "epoch %d", "resuming at step %d"):  # the Trainer's own lines
            progress.LOGGER.info(message, 1)
    assert [message.split(",")[0] for message in caplog.messages] == [
        "1/4 images",
        "4/4 images",
        "1/4 thumbnails",
        "4/4 thumbnails",
        "1/4 thumbnails",
        "4/4 thumbnails",
        "epoch 1",
        "resuming at step 1",
    ]


def test_a_bucket_is_counted_less_often(monkeypatch):
    monkeypatch.setattr(progress, "BUCKET_POLL_SECONDS", 0.001)
    monkeypatch.setattr(progress, "POLL_SECONDS", 1000.0)
    counts, has_counted = [], threading.Event()

    def count() -> int:
        counts.append(1)
        has_counted.set()
        return 0

    with progress.polled(Progress("images", 9), count, "/store"):
        pass
    assert len(counts) == 1  # at the end alone
    has_counted.clear()
    with progress.polled(Progress("images", 9), count, "s3://bucket/store"):
        assert has_counted.wait(10)
    assert len(counts) > 2
