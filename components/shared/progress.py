"""Progress of long work, reported through `logging`: on the step's line in a terminal, in its log on a cluster."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

LOGGER = logging.getLogger("captions.progress")
POLL_SECONDS = 1.0  # between two counts of what others have done
BUCKET_POLL_SECONDS = 10.0  # the same where each costs a listing


class Progress:
    """Counts what is done and reports it, with the rate and the time left, at most once per interval.

    It can be used from several threads.
    """

    def __init__(self, noun: str, total: int, interval: float = 1.0):
        """Starts the clock.

        Args:
          noun: plural name of the things that are counted: "images".
          total: number of things.
          interval: seconds between two messages.
        """
        self._noun, self._total, self._interval = noun, total, interval
        self._done = 0
        self._start = self._last_reported = time.monotonic()
        self._lock = threading.Lock()

    def update(self, count: int = 1) -> None:
        """Adds `count` to what is done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._done < self._total and now - self._last_reported < self._interval:
                return
            self._last_reported = now
            rate = self._done / max(now - self._start, 1e-9)
            extra = {"progress": self, "is_last": self._done >= self._total}
            LOGGER.info("%s", describe(self._noun, self._done, self._total, rate), extra=extra)


@contextlib.contextmanager
def polled(progress: Progress, count: Callable[[], int], place: str = "") -> Iterator[None]:
    """Reports what other processes do while the block runs, from this one.

    Args:
      progress: what to report to.
      count: counts what is done since the block began; it is called in a thread, and at the end once more.
      place: the path or URI that it looks at.
    """
    seconds = BUCKET_POLL_SECONDS if "://" in place else POLL_SECONDS
    is_over = threading.Event()

    def watch() -> None:
        num_reported, is_last = 0, False
        while not is_last:
            is_last = is_over.wait(seconds)
            num_done = count()
            if num_done > num_reported:
                progress.update(num_done - num_reported)
                num_reported = num_done

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


class ThrottledProgress(logging.Filter):
    """Passes progress at most once per interval, and everything else: for logs, in which every line stays.

    The interval applies to each `Progress` on its own, whose last line always passes; to what is logged without one,
    by its format.
    """

    def __init__(self, seconds: float = 30.0):
        super().__init__()
        self._seconds = seconds
        self._next: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.name != LOGGER.name:
            return True
        source, now = getattr(record, "progress", record.msg), time.monotonic()
        if now < self._next.get(source, now) and not getattr(record, "is_last", False):
            return False
        self._next[source] = now + self._seconds
        return True


def describe(noun: str, done: int, total: int, rate: float) -> str:
    """Formats one line of progress.

    >>> describe("images", 120, 500, 24.0)
    '120/500 images, 24.0/s, ETA 16 s'
    """
    eta = f"{(total - done) / rate:.0f} s" if rate > 0 else "unknown"
    return f"{done}/{total} {noun}, {rate:.1f}/s, ETA {eta}"
