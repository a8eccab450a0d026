"""What to do after a run: commands and paths to paste."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from components.pusher.push import saved_model_in
from pipeline.cli.main import PROGRAM
from pipeline.config import Config
from pipeline.paths import display_path

COPY_COMMANDS = {"s3": "aws s3 cp", "gs": "gcloud storage cp"}  # of the stores' own programs


def lines(
    config: Config, summary: Mapping[str, Any], num_evaluated: int = 0, arguments: Sequence[str] = ()
) -> list[str]:
    """The next things to do, as plain text.

    Args:
      config: the settings of the run.
      summary: its summary, of `summary.build`; what the run did not reach is left out.
      num_evaluated: number of runs of the pipeline that were evaluated, this one included.
      arguments: the arguments with which the user has named the pipeline.
    """
    steps = []
    if summary["report"]:
        steps.append(_see_report(summary["report"]))
    model = _model_dir(config, summary["candidate_model"])
    if model and summary["example_image"]:
        image = shlex.quote(display_path(summary["example_image"]))
        steps.append(("caption an image", f"{program()} caption --model {shlex.quote(display_path(model))} {image}"))
    if config.data.dir is None:
        steps.append(("use your own data", f"{program()} init DIRECTORY"))
    elif num_evaluated > 1:  # there is nothing to compare a first run with
        steps.append(("compare the runs", f"{program()} compare {shlex.join(arguments)}".rstrip()))
    if not steps:
        return []
    return ["", "What to do next:", *(f"  {f'{title}:':<19}{command}" for title, command in steps)]


def _see_report(report: str) -> tuple[str, str]:
    copy = COPY_COMMANDS.get(report.partition("://")[0])
    if copy:
        return "fetch the report", f"{copy} {shlex.quote(report)} ."
    return "open the report", shlex.quote(display_path(report))


def program() -> str:
    """The command as the user's shell finds it: by its name, or by its path beside the Python that runs."""
    beside = os.path.join(os.path.dirname(sys.executable), PROGRAM)
    return PROGRAM if shutil.which(PROGRAM) or not os.path.exists(beside) else shlex.quote(display_path(beside))


def _model_dir(config: Config, candidate: str | None) -> str | None:
    """The directory of the served model, or else of the run's own model."""
    directories = [config.paths.serving, *([candidate] if candidate else [])]
    return next((directory for directory in directories if saved_model_in(directory)), None)
