"""Kills runs of the pipeline (debug config) with SIGKILL, in every step, and compares what the next runs make of it.

A root's runs are killed one after another, each in a step at or after the last one's, at a moment drawn from a seed;
then a run is left alone, and its results are compared with those of a run in a root of its own that nothing has
disturbed. Moments are measured in CPU time, so that a busy machine does not shift them. Prints a line per kill, and a
table in Markdown. The roots are on the disk, or in a bucket of the store that the environment names.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import end_state
from benchmarks.fork_server import ForkedProcess, ForkServer
from benchmarks.measuring import ROOT
from components.shared import node_cache, storage
from pipeline import run_directory
from pipeline.paths import Paths, RunPaths

BEFORE, AFTER = "before the first step", "after the last step"
POLL_SECONDS = 0.01
OVERSHOOT = 1.05  # of a step's CPU time: the last of the moments are in what follows it
STEP_LINE = re.compile(rb" step (\w+)( starts|: \w+)$", re.MULTILINE)  # in the log, of `pipeline.runner`


@dataclasses.dataclass(frozen=True)
class Moment:
    """When to kill a run: after a part of the CPU time that a phase takes."""

    phase: str
    fraction: float


@dataclasses.dataclass
class Kill:
    """A kill that was done.

    Attributes:
      phase: the step in which the run was, or `BEFORE` or `AFTER` all.
      resumed: whether the next run got as far.
      differences: what differs in the root's end state, see `end_state.EndState`.
      leftovers: what was left in the root, see `end_state.leftovers`.
    """

    phase: str
    resumed: bool = True
    differences: Sequence[str] = ()
    leftovers: Sequence[str] = ()


def plan(phases: Sequence[str], num_kills: int, kills_per_root: int, seed: int) -> list[list[Moment]]:
    """Draws the moments of each root, in the order of the phases; each phase has as many as any other, or one more."""
    rng = random.Random(seed)
    drawn = [phases[index % len(phases)] for index in range(num_kills)]
    rng.shuffle(drawn)
    roots = [drawn[start : start + kills_per_root] for start in range(0, num_kills, kills_per_root)]
    moments = [[Moment(phase, rng.uniform(0, OVERSHOOT)) for phase in root] for root in roots]
    return [sorted(root, key=lambda moment: (phases.index(moment.phase), moment.fraction)) for root in moments]


class Phases:
    """Tells from a run's log in which phase it is."""

    def __init__(self, last_step: str | None = None):
        """Begins before the first step; `last_step` is the one after whose end the run is in the phase `AFTER`."""
        self.phase, self._last_step, self._rest = BEFORE, last_step, b""

    def read(self, log: bytes) -> list[str]:
        """Takes what was added to the log; returns the phases that have begun since."""
        begun = []
        *lines, self._rest = (self._rest + log).split(b"\n")
        for line in lines:
            if match := STEP_LINE.search(line):
                step, is_start = match[1].decode(), match[2] == b" starts"
                if is_start or step == self._last_step:
                    self.phase = step if is_start else AFTER
                    begun.append(self.phase)
        return begun


@dataclasses.dataclass(frozen=True)
class Root:
    """Where runs are killed.

    Attributes:
      place: a path or a URI.
      metadata: the file of ML Metadata of a root in a bucket.
    """

    place: str
    metadata: pathlib.Path | None = None

    @property
    def metadata_uri(self) -> str | None:
        """The URI of ML Metadata, if it is not in the root."""
        return f"sqlite:///{self.metadata}" if self.metadata else None

    @property
    def runs(self) -> pathlib.Path:
        """The directory on this disk with a directory per run, of those in a bucket while they go on."""
        return pathlib.Path(run_directory.local_paths(Paths(self.place), "any").directory).parent

    @property
    def arguments(self) -> list[str]:
        """The arguments of a run that name it."""
        return ["--root", self.place, *(["--set", f"metadata={self.metadata_uri}"] if self.metadata else [])]

    def remove(self) -> None:
        """Deletes it."""
        storage.remove(self.place)
        if self.metadata:
            self.metadata.unlink(missing_ok=True)

    def end_state(self) -> end_state.EndState:
        """The results of its runs."""
        return end_state.read(self.place, self.metadata_uri)

    def leftovers(self) -> list[str]:
        """What killed runs have left in it, and on this disk."""
        left = end_state.leftovers(self.place, self.metadata_uri)
        return left + ([str(path) for path in self.runs.glob("*")] if self.metadata else [])


class Soak:
    """The runs, in processes forked from one that has loaded TFX."""

    def __init__(
        self,
        directory: pathlib.Path,
        fork_server: ForkServer,
        deadline: float,
        bucket: str | None = None,
        last_step: str = "Report",
    ):
        """Prepares a soak.

        Args:
          directory: where the roots lie, or what roots in a bucket have on this disk.
          fork_server: starts the processes.
          deadline: time of `time.monotonic()` after which nothing is killed.
          bucket: URI below which the roots lie, if they are in a bucket.
          last_step: the pipeline's last step.
        """
        self._directory, self._fork_server = directory, fork_server
        self._deadline, self._bucket, self._last_step = deadline, bucket, last_step

    def root(self, name: str) -> Root:
        """A root of this soak."""
        if self._bucket:
            return Root(f"{self._bucket}/{name}", self._directory / f"{name}.sqlite")
        return Root(str(self._directory / name))

    def start(self, root: Root) -> ForkedProcess:
        """Starts a run."""
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        arguments = ["local_runner.py", "run", "--config", "pipeline/configs/debug.yaml", *root.arguments]
        return self._fork_server.start(arguments, ROOT, environment | {"PYTHONPATH": str(ROOT)})

    def progress(self, process: ForkedProcess, root: Root, earlier: set[str]) -> Iterator[tuple[str, float]]:
        """Yields the phase of a run and the CPU seconds that it has spent in it, again and again until it ends."""
        phases, entered, num_read = Phases(self._last_step), 0.0, 0
        while (seconds := cpu_seconds(process.pid)) is not None:
            added = read_log(root.runs, earlier, num_read)
            num_read += len(added)
            for phase in phases.read(added):  # several, if they are short
                entered = seconds
                yield phase, 0.0
            yield phases.phase, seconds - entered
            time.sleep(POLL_SECONDS)

    def undisturbed(self) -> tuple[dict[str, float], end_state.EndState]:
        """Runs without a kill, unless a soak has done so in this directory; CPU seconds per phase, and the results."""
        root, saved = self.root("undisturbed"), self._directory / "seconds.json"
        if not saved.exists():
            seconds = {}
            process = self.start(root)
            for phase, spent in self.progress(process, root, set()):
                seconds[phase] = spent
            ended = process.wait()
            if ended.returncode:
                raise RuntimeError(f"the undisturbed run failed:\n{ended.stdout}{ended.stderr}")
            saved.write_text(json.dumps(seconds))
        return json.loads(saved.read_text()), root.end_state()

    def kill_runs(
        self, name: str, moments: Sequence[Moment], seconds: Mapping[str, float], expected: end_state.EndState
    ) -> list[Kill]:
        """Kills the runs of a new root one after another, and lets the last one complete.

        Args:
          name: name of the root.
          moments: when to kill, in the order of the phases.
          seconds: CPU seconds per phase of `undisturbed`.
          expected: the results of `undisturbed`.
        """
        root, kills = self.root(name), list[Kill]()
        root.remove()
        for moment in moments:
            if time.monotonic() > self._deadline:
                break
            phase, ended = self._run(root, moment, seconds)
            if phase is not None:
                print(f"{name}: killed in {phase!r}, planned in {moment}", flush=True)
                kills.append(Kill(phase))
            elif kills and ended.returncode:
                kills[-1].resumed = False
                print(f"{name}: a run failed:\n{ended.stdout}{ended.stderr}", flush=True)
        _, ended = self._run(root, None, seconds)
        if ended.returncode:
            print(f"{name}: the last run failed:\n{ended.stdout}{ended.stderr}", flush=True)
            return [dataclasses.replace(kill, resumed=False, differences=["status"]) for kill in kills]
        differences, left = root.end_state().differences(expected), root.leftovers()
        print(f"{name}: {len(kills)} kills; differences: {differences}; left over: {left}", flush=True)
        return [dataclasses.replace(kill, differences=differences, leftovers=left) for kill in kills]

    def _run(
        self, root: Root, moment: Moment | None, seconds: Mapping[str, float]
    ) -> tuple[str | None, subprocess.CompletedProcess]:
        """Starts a run and kills it, or lets it end; returns in which phase it was killed, if it was."""
        order, killed_in = list(seconds), None
        earlier = run_ids(root.runs)
        process = self.start(root)
        for phase, spent in self.progress(process, root, earlier):
            if moment is None:
                continue
            is_over = order.index(phase) > order.index(moment.phase)  # it took less than in the undisturbed run
            if is_over or (phase == moment.phase and spent >= moment.fraction * seconds[phase]):
                process.kill()
                killed_in = phase
                break
        ended = process.wait()
        return (killed_in if ended.returncode == -signal.SIGKILL else None), ended


def run_ids(runs: pathlib.Path) -> set[str]:
    """The runs that have a directory in one."""
    return {path.name for path in runs.iterdir()} if runs.exists() else set()


def read_log(runs: pathlib.Path, earlier: set[str], num_read: int) -> bytes:
    """What was added to the log of the run that is not among the earlier ones, after `num_read` bytes."""
    for run_id in run_ids(runs) - earlier:
        with contextlib.suppress(FileNotFoundError), open(RunPaths(str(runs / run_id)).log, "rb") as log:
            log.seek(num_read)
            return log.read().lstrip(b"\0")  # zeros: the file with which the run looks for space
    return b""


def cpu_seconds(pid: int) -> float | None:
    """The CPU time that a process has spent so far; None if it has ended."""
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    user, system = stat.rpartition(")")[2].split()[11:13]  # after the name, which may contain spaces
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def table(phases: Sequence[str], kills: Sequence[Kill]) -> str:
    """The kills per phase, in Markdown."""
    rows = ["| killed in | kills | resumed | equal results | left over |", "| --- | --- | --- | --- | --- |"]
    for phase in [*phases, "all"]:
        some = [kill for kill in kills if phase in (kill.phase, "all")]
        num_equal = sum(not kill.differences for kill in some)
        num_left = len({path for kill in some for path in kill.leftovers})
        rows.append(f"| {phase} | {len(some)} | {sum(kill.resumed for kill in some)} | {num_equal} | {num_left} |")
    return "\n".join(rows)


def main() -> int:
    """The command line; exit status 1 if a kill had consequences."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=112, help="number of kills to plan (default: %(default)s)")
    parser.add_argument("--kills-per-root", type=int, default=28, help="kills per root (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="after that, kill no more (default: no limit)"
    )
    parser.add_argument("--directory", help="keep the roots here, and reuse the undisturbed one")
    parser.add_argument("--bucket", help="URI below which the roots lie; those of an earlier soak are overwritten")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(args.directory or temporary).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        os.environ[node_cache.DIRECTORY] = str(directory / "cache")
        fork_server = ForkServer()
        soak = Soak(directory, fork_server, deadline, args.bucket and args.bucket.rstrip("/"))
        seconds, expected = soak.undisturbed()
        print("CPU seconds undisturbed:", {phase: round(spent, 1) for phase, spent in seconds.items()}, flush=True)
        for number, moments in enumerate(plan(list(seconds), args.kills, args.kills_per_root, args.seed), start=1):
            if time.monotonic() < deadline:
                kills += soak.kill_runs(f"seed-{args.seed}-root-{number}", moments, seconds, expected)
                print(table(list(seconds), kills), flush=True)
        fork_server.stop()
    return int(any(not kill.resumed or kill.differences or kill.leftovers for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
