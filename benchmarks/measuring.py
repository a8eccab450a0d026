"""How the benchmarks measure: in turns, so that a machine that slows down slows both sides, and by the median."""

import dataclasses
import io
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from components.shared import scenes

ROOT = pathlib.Path(__file__).parent.parent
WIDTH, HEIGHT = 500, 375  # pixels of most of Flickr8k's images


@dataclasses.dataclass(frozen=True)
class Result:
    """One measurement."""

    name: str
    value: float
    unit: str
    detail: str

    def to_json(self) -> str:
        """One line of output."""
        return json.dumps({**dataclasses.asdict(self), "value": round(self.value, 3)})


def seconds(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of two pieces of work that are measured in turns, after one round that does not count."""
    ours(), theirs()
    times = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(time[0] for time in times), statistics.median(time[1] for time in times)


def noisy_jpegs(num_images: int) -> list[bytes]:
    """Scenes of Flickr8k's size with the noise of photographs, so that a file has about 130 KB like Flickr8k's."""
    rng = np.random.default_rng(0)
    jpegs = []
    for index in range(num_images):
        clean = np.asarray(scenes.draw(0, index).resize((WIDTH, HEIGHT)), np.float32)
        noisy = np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=95)
        jpegs.append(buffer.getvalue())
    return jpegs


def peak_of(function: Callable[..., float], *arguments: str) -> float:
    """Calls a function of a module in a process of its own.

    Args:
      function: a function of texts that returns its process's peak memory, of `peak_memory`.
      *arguments: its arguments.
    """
    code = f"import sys\nfrom {function.__module__} import {function.__name__} as call\nprint(call(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])


def peak_memory() -> float:
    """Peak memory of this process so far, in GB."""
    # getrusage would include the parent's peak from before this process was started
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return int(peak) * 1024 / 1e9
