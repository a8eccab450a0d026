"""One run on this machine, from the settings to the summary."""

import datetime
import gc
import json
import logging
import os
import sys
import time
from typing import IO, Any

from pipeline import console
from pipeline.config import Config, to_dict
from pipeline.steps import Step

SUMMARY, LOG = "summary.json", "log.txt"
CAUSE_LINES = 60  # of a fault that are printed: the table of every reason for a reject, with its examples, is shorter


def run(config: Config, from_node: str | None = None, to_node: str | None = None, verbose: bool = False) -> int:
    """Runs the pipeline and shows it.

    Args:
      config: all settings.
      from_node: for a part of the pipeline, see `runner.compile_pipeline`.
      to_node: likewise.
      verbose: show the log, too.

    Returns:
      exit status: 0; 1 when a step failed; 2 when the part asked for can't be run, or ML Metadata can't be used; 130
      when it was interrupted.
    """
    start = time.monotonic()
    run_id = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    run_dir = os.path.join(config.root_dir, "runs", run_id)
    try:
        os.makedirs(run_dir)
    except OSError as error:
        print(f"local_runner.py: root: {config.root_dir} can't be written to ({error.strerror})", file=sys.stderr)
        return 2
    log = os.path.join(run_dir, LOG)
    print(f"{config.name}: everything goes to {_short(config.root_dir)}, the log to {_short(log)}")
    if config.feature_extractor.weights == "random":
        print(
            f"{config.feature_extractor.backbone} has random weights: enough to tell drawn shapes apart without a "
            "download; photographs want feature_extractor.weights=imagenet"
        )
    print("loading TensorFlow and TFX …", flush=True)
    with console.chatter_to(log, verbose) as terminal:
        try:
            status = _run(config, run_id, run_dir, from_node, to_node, terminal)
        except KeyboardInterrupt:
            print("interrupted before the first step", file=terminal)
            status = 130
        print(f"{time.monotonic() - start:.0f} s, exit status {status}", file=terminal)
        return status


def _run(
    config: Config, run_id: str, run_dir: str, from_node: str | None, to_node: str | None, terminal: IO[str]
) -> int:
    # heavy, and talkative when loaded
    from tfx.orchestration import metadata

    from pipeline import database, runner, sample_data, summary
    from pipeline.pipeline import create_pipeline

    gc.freeze()  # what was loaded stays: the collector would go through it again and again, a third of a second a time
    pipeline = create_pipeline(config)
    if config.data.dir is None:
        drawn = sample_data.ensure(config.data_dir, config.data.sample.images, config.data.sample.seed)
        if drawn:
            print(f"{drawn} sample pictures drawn in {_short(config.data_dir)}", file=terminal)
    try:
        kept = database.prepare(pipeline.metadata_connection_config)
        ir = runner.compile_pipeline(pipeline, run_id, from_node, to_node)
    except ValueError as error:
        print(f"local_runner.py: {error}", file=terminal)
        return 2
    if kept:
        print(f"ML Metadata was upgraded; what it was before is kept in {_short(kept)}", file=terminal)

    ended: list[Step] = []
    fault, status = None, 0
    with console.Display(terminal, total=len(runner.steps_of(ir))) as display:
        try:
            for step in runner.run(ir, display.start):
                display.end(step)
                ended.append(step)
        except runner.StepFailed as failure:
            logging.exception("%s failed", failure.step_id)
            fault, status = f"{failure.step_id} failed: {_cause(failure, os.path.join(run_dir, LOG))}", 1
        except KeyboardInterrupt:
            fault, status = "interrupted; what has ended is kept, and the next run goes on from there", 130

    with metadata.Metadata(runner.connection_of(ir)) as handle:
        result = summary.build(handle, config.name, run_id, ended)
    _write({**result, "error": fault, "config": to_dict(config)}, run_dir, config.root_dir)
    display.console.print(summary.table(result))
    print(f"in full: {_short(os.path.join(config.root_dir, SUMMARY))}", file=terminal)
    if fault:
        print(f"{fault}\nall there is to know: {_short(os.path.join(run_dir, LOG))}", file=terminal)
    return status


def _write(result: dict[str, Any], run_dir: str, root: str) -> None:
    """Writes the run's own summary, and the same as the last run's."""
    from components.atomic import write_text

    for directory in (run_dir, root):
        write_text(os.path.join(directory, SUMMARY), json.dumps(result, indent=1) + "\n")


def _cause(failure: Exception, log: str) -> str:
    """What went wrong, without the way it took: Beam hands on a worker's traceback as the message.

    Of a very long message, as of data that is wrong in many places, the rest is left to the log.
    """
    lines = str(failure.__cause__).strip().splitlines() or [type(failure.__cause__).__name__]
    if lines[0].startswith("Traceback"):
        return lines[-1]
    if (left_out := len(lines) - CAUSE_LINES) > 0:
        lines[CAUSE_LINES:] = [f"… and {left_out} lines more, all of them in {_short(log)}"]
    return "\n".join(lines)


def _short(path: str) -> str:
    """The path as seen from here, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)
