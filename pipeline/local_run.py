"""One run on this machine, from the settings to the summary."""

import datetime
import errno
import gc
import json
import logging
import os
import time
from collections.abc import Sequence
from typing import IO, Any

from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.feature_extractor.settings import FeatureExtractorSettings
from pipeline import console
from pipeline.config import Config, ConfigError, to_dict
from pipeline.errors import UserError, cause_lines
from pipeline.paths import RunPaths, display_path
from pipeline.step_states import Step

MIN_SPACE = 16 * 2**20  # bytes
MAX_CAUSE_LINES = 60  # the table of all reject reasons, with its examples, is shorter


class RootError(UserError):
    """The root cannot be written to."""


def run(
    config: Config,
    from_node: str | None = None,
    to_node: str | None = None,
    verbose: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Runs the pipeline and shows its progress.

    Args:
      config: all settings.
      from_node: the first step to run, see `runner.compile_pipeline`.
      to_node: the last step to run, likewise.
      verbose: whether to print the log, too.
      arguments: the arguments with which the user has named the pipeline.

    Returns:
      exit status: 0; 1 if a step failed; 130 if the run was interrupted.

    Raises:
      UserError: the root cannot be written to, ML Metadata cannot be used, or the part asked for cannot be run.
    """
    start = time.monotonic()
    run_id = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    from pipeline import run_directory

    try:
        paths = run_directory.create(config.paths, run_id)
        check_space(paths.log)
    except OSError as error:
        raise RootError(f"root: {config.root_dir} cannot be written to ({error.strerror or error})") from None
    print(f"Output directory: {display_path(config.root_dir)}; log: {display_path(paths.log)}")
    if config.feature_extractor.weights == "random":
        print(
            f"{config.feature_extractor.backbone} has random weights, enough for the sample's simple shapes; use "
            "feature_extractor.weights=imagenet for real images"
        )
    print("Loading TensorFlow and TFX …", flush=True)
    with run_directory.running(config.paths, run_id), console.redirect_output(paths.log, verbose) as terminal:
        status = _run(config, run_id, from_node, to_node, terminal, arguments)
        print(f"{time.monotonic() - start:.0f} s, exit status {status}", file=terminal)
    return status


def _run(
    config: Config,
    run_id: str,
    from_node: str | None,
    to_node: str | None,
    terminal: IO[str],
    arguments: Sequence[str],
) -> int:
    # heavy, and verbose when loaded
    from pipeline import compare, database, leftovers, next_steps, root_owner, runner, sample_data, summary
    from pipeline.pipeline import create_pipeline

    if config.feature_extractor.weights != "random":
        print(f"Checking the weights of {config.feature_extractor.backbone} …", file=terminal)
    check_backbone(config.feature_extractor, config.feature_store_dir)
    gc.freeze()  # what was loaded stays: the collector would go through it again and again, a third of a second each
    pipeline = create_pipeline(config)
    if config.data.dir is None:
        sample = config.data.sample
        num_drawn = sample_data.ensure(config.data_dir, sample.num_images, sample.seed, sample.language)
        if num_drawn:
            print(f"Generated {num_drawn} sample images in {display_path(config.data_dir)}", file=terminal)
    copy = database.prepare(pipeline.metadata_connection_config)
    ir = runner.compile_pipeline(pipeline, run_id, from_node, to_node)
    if "BleuEvaluator" in {step.id for step in runner.steps_of(ir)}:
        check_rules(config.evaluator)
    if copy:
        print(f"Upgraded ML Metadata; the old database is kept in {display_path(copy)}", file=terminal)

    with database.new_handle(runner.connection_of(ir)) as handle:
        root_owner.claim(handle.store, config.paths)
        leftovers.clear(handle.store, config.paths, config.feature_store_dir, run_id)
    paths = config.paths.run(run_id)
    ended: list[Step] = []
    cause, status = None, 0
    with console.Display(terminal, total=len(runner.steps_of(ir))) as display:
        try:
            for step in runner.run(ir, display.start):
                display.end(step)
                ended.append(step)
        except runner.StepFailed as failure:
            logging.exception("%s failed", failure.step_id)
            cause, status = f"{failure.step_id} failed: {describe_cause(failure, paths.log)}", 1
        except KeyboardInterrupt:
            cause, status = "interrupted; completed steps are cached; rerun to resume", 130

    with database.new_handle(runner.connection_of(ir)) as handle:
        result = summary.build(handle, config.name, run_id, ended)
        num_evaluated = compare.count_evaluated(handle.store, config.name) if result["decision"] else 0
    _write({**result, "error": cause, "config": to_dict(config)}, config.paths.summary, paths)
    display.console.print(summary.table(result))
    print(f"Full summary: {display_path(config.paths.summary)}", file=terminal)
    if cause:
        print("\n".join([cause, *help_of(cause), f"Full log: {display_path(paths.log)}"]), file=terminal)
    else:
        lines = next_steps.lines(config, result, num_evaluated, arguments)
        print("".join(f"{line}\n" for line in lines), end="", file=terminal)
    return status


def check_backbone(settings: FeatureExtractorSettings, store_dir: str) -> None:
    """Builds the backbone before anything runs, unless the feature store has it or its weights are random.

    Weights that are not there, do not fit, or cannot be downloaded are found here, and not after the data was read;
    what is downloaded is in Keras's cache when the extractor needs it.

    Args:
      settings: which backbone.
      store_dir: the feature store.

    Raises:
      ConfigError: there is no such backbone, or none with these weights.
    """
    from components.feature_extractor.backbones.keras_applications import RANDOM
    from components.feature_extractor.backbones.registry import source_of
    from components.feature_extractor.executor import store_of

    try:
        source = source_of(settings)
        source.weights_identity(settings)
        if settings.weights != RANDOM and store_of(settings, store_dir).backbone() is None:
            source.build(settings)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None


def check_rules(settings: BleuEvaluatorSettings) -> None:
    """Refuses rules on metrics that cannot be computed here, before a model is trained for them.

    Raises:
      ConfigError: Java, or something else that they need, is missing.
    """
    from components.bleu_evaluator import requirements

    try:
        requirements.check(settings)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def check_space(path: str) -> None:
    """Allocates what log, summary and ML Metadata need at least, and frees it again.

    Args:
      path: a file that does not exist.

    Raises:
      OSError: the disk is full, or the quota is used up.
    """
    with open(path, "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, MIN_SPACE)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # a file system that cannot allocate says something else
        finally:
            os.remove(path)


def _write(result: dict[str, Any], last: str, paths: RunPaths) -> None:
    """Writes the summary of the run, which is that of the last run, too."""
    from components.shared.storage import write_text

    for path in (paths.summary, last):
        write_text(path, json.dumps(result, indent=1) + "\n")


def describe_cause(failure: Exception, log: str) -> str:
    """The cause of a failure, as `cause_lines`.

    The end of a very long message, such as one about data that is wrong in many places, is left to the log.
    """
    lines = cause_lines(failure.__cause__)
    if (num_omitted := len(lines) - MAX_CAUSE_LINES) > 0:
        lines[MAX_CAUSE_LINES:] = [f"… and {num_omitted} more lines; all of them are in {display_path(log)}"]
    return "\n".join(lines)


def help_of(cause: str) -> list[str]:
    """The lines of help for the settings that the error of a step is about, as the command line prints them."""
    from pipeline import setting_help

    return [f"  {line}" for line in setting_help.help_lines(cause.partition(" failed: ")[2])]
