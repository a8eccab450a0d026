import collections
import os
import pathlib

import pytest

from benchmarks import soak
from benchmarks.soak import AFTER, BEFORE, Kill, Phases, plan, read_log, table
from pipeline.paths import Paths

PHASES = [BEFORE, "CaptionIngest", "Trainer", AFTER]


def test_the_moments_are_spread_over_all_phases_and_ordered_within_a_root():
    roots = plan(PHASES, num_kills=22, kills_per_root=8, seed=0)
    assert [len(root) for root in roots] == [8, 8, 6]
    counts = collections.Counter(moment.phase for root in roots for moment in root)
    assert counts == {BEFORE: 6, "CaptionIngest": 6, "Trainer": 5, AFTER: 5}
    for root in roots:
        assert root == sorted(root, key=lambda moment: (PHASES.index(moment.phase), moment.fraction))
    fractions = [moment.fraction for root in roots for moment in root]
    assert len(set(fractions)) == 22 and min(fractions) < 0.2 and 0.85 < max(fractions) <= soak.OVERSHOOT


def test_the_moments_follow_from_the_seed():
    assert plan(PHASES, 20, 8, seed=1) == plan(PHASES, 20, 8, seed=1) != plan(PHASES, 20, 8, seed=2)


LINE = b"2026-12-01 00:47:25,865 INFO    root: step %s\n"


def test_the_phase_is_read_from_the_log():
    phases, begun = Phases(last_step="Report"), []
    assert phases.phase == BEFORE
    for part in (
        b"2026-12-01 00:47:25,865 INFO    absl: the step Trainer starts to be written about\n",
        LINE % b"Trainer starts",
        LINE % b"Trainer: done" + LINE % b"Exporter starts" + LINE % b"Exporter: done" + LINE % b"Pusher starts",
        LINE[:20],
        LINE[20:] % b"Report starts" + b"and more\n",
        LINE % b"Report: cached",
    ):
        begun.append(phases.read(part))
    assert begun == [[], ["Trainer"], ["Exporter", "Pusher"], [], ["Report"], [AFTER]]
    assert phases.phase == AFTER


def test_the_log_of_the_new_run_is_read_from_where_the_last_call_ended(tmp_path):
    for run_id, content in {"earlier": b"old", "new": b"0123"}.items():
        log = pathlib.Path(Paths(str(tmp_path)).run(run_id).log)
        log.parent.mkdir(parents=True)
        log.write_bytes(content)
    assert [read_log(tmp_path / "runs", {"earlier"}, num_read) for num_read in (0, 3, 4)] == [b"0123", b"3", b""]
    log.write_bytes(bytes(100))  # as when the run looks whether there is space
    assert read_log(tmp_path / "runs", {"earlier"}, 0) == b""
    assert read_log(tmp_path / "runs", {"earlier", "new"}, 0) == b""


def test_cpu_time_of_a_process():
    assert 0 < soak.cpu_seconds(os.getpid()) <= sum(os.times()[:2]) + 0.1
    with pytest.raises(ProcessLookupError):
        os.kill(2**22 + 1, 0)  # above the largest process ID
    assert soak.cpu_seconds(2**22 + 1) is None


def test_the_table_counts_per_phase():
    kills = [
        Kill("Trainer"),
        Kill("Trainer", resumed=False, differences=["metrics"], leftovers=["a", "b"]),
        Kill(AFTER, leftovers=["b"]),
    ]
    assert table(["Trainer", AFTER], kills).splitlines()[2:] == [
        "| Trainer | 2 | 1 | 1 | 2 |",
        "| after the last step | 1 | 1 | 1 | 1 |",
        "| all | 3 | 2 | 2 | 2 |",
    ]
