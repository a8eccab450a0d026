"""How the benchmarks measure: in turns, so that a machine that slows down slows both sides, and by the median."""

import dataclasses
import json
import pathlib
import re
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Result:
    """One figure."""

    name: str
    value: float
    unit: str
    detail: str

    def to_json(self) -> str:
        """One line of output."""
        return json.dumps({**dataclasses.asdict(self), "value": round(self.value, 3)})


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of two pieces of work that are measured in turns, after one round that does not count."""
    ours(), theirs()
    times = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(time[0] for time in times), statistics.median(time[1] for time in times)


def peak_memory() -> float:
    """The most memory that this process has held so far, in GB."""
    # getrusage would count what the parent held when it started this process
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return int(peak) * 1024 / 1e9
