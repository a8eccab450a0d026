"""Progress of long work, told through `logging`: shown on the step's line in a terminal, in its log on a cluster."""

import logging
import threading
import time

LOGGER = logging.getLogger("captions.progress")


class Progress:
    """Counts what is done and tells it, with the rate and the time left, at most once an interval.

    It can be used from several threads.
    """

    def __init__(self, what: str, total: int, interval: float = 1.0):
        """Starts the clock.

        Args:
          what: the things that are counted, in the plural: "pictures".
          total: how many there are.
          interval: seconds between two messages.
        """
        self._what, self._total, self._interval = what, total, interval
        self._done = 0
        self._start = self._told = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Notes that `count` more are done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._done < self._total and now - self._told < self._interval:
                return
            self._told = now
            rate = self._done / max(now - self._start, 1e-9)
            of = {"progress": self, "is_last": self._done >= self._total}
            LOGGER.info("%s", describe(self._what, self._done, self._total, rate), extra=of)


class SparseProgress(logging.Filter):
    """Lets all lines through, but progress only every so many seconds: for logs, in which every line stays.

    The seconds count for each `Progress` by itself, whose last line always comes through; for what is logged without
    one, for each format.
    """

    def __init__(self, seconds: float = 30.0):
        super().__init__()
        self._seconds = seconds
        self._next: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if record.name != LOGGER.name:
            return True
        kind, now = getattr(record, "progress", record.msg), time.monotonic()
        if now < self._next.get(kind, now) and not getattr(record, "is_last", False):
            return False
        self._next[kind] = now + self._seconds
        return True


def describe(what: str, done: int, total: int, rate: float) -> str:
    """One line of progress.

    >>> describe("pictures", 120, 500, 24.0)
    '120 of 500 pictures, 24.0 a second, 16 s left'
    """
    left = f"{(total - done) / rate:.0f} s left" if rate > 0 else "time left unknown"
    return f"{done} of {total} {what}, {rate:.1f} a second, {left}"
