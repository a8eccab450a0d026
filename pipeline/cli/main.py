"""Entry point of the command line: finds the commands, parses the arguments, and reports errors in one line."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from pipeline import cli
from pipeline.cli import streams
from pipeline.errors import UserError

PROGRAM = "caption-pipeline"
DESCRIPTION = "Trains an image-captioning model, uses BLEU to decide whether to deploy it, and captions images with it."
EPILOG = f"""examples:
  {PROGRAM} run                                      run on the built-in sample, in runs/sample
  {PROGRAM} run --config flickr8k --set data.dir=images/flickr8k
  {PROGRAM} inspect images/mine                      show what a run would read from images of your own
  {PROGRAM} init images/mine                         write a first config for images of your own
  {PROGRAM} run --set trainer.epochs=3 --to Trainer  try a setting, stop before the evaluation
  {PROGRAM} caption --model runs/sample/serving image.jpg
  {PROGRAM} stats                                    dataset statistics of the last run
  {PROGRAM} compare                                  metrics and settings of the last runs, side by side
  {PROGRAM} lineage runs/sample/serving              show how the served model was produced
  {PROGRAM} rollback                                 serve the previous model again
  {PROGRAM} features gc --keep-last 5                delete features not used by the last 5 runs

Each command has its own help: {PROGRAM} run --help
"""
RENAMED = {"store": "features, and store --drop is now features gc"}  # commands of version 0.1


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, and keeps the lines of the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """A parser of the program or of a command: its errors are one line, reported in one place."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{"formatter_class": _HelpFormatter, **kwargs})

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None for those of the process.

    Returns:
      the exit status: that of the command; 2 if it could not be carried out; 130 if it was interrupted; 141 if the
      reader of its output has gone.
    """
    streams.accept_any_text()
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        commands = find_commands()
        if arguments and arguments[0] in RENAMED:
            raise UserError(f"{arguments[0]} is now called {RENAMED[arguments[0]]}")
        args = build_parser(commands).parse_args(arguments)
        status = commands[args.command].run(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        _report(error)
        return 2
    except UnicodeEncodeError as error:
        if error.encoding != "utf-8":
            raise
        _report(UserError(f"the name {error.object!a} is not UTF-8: rename it, or set LC_ALL=C.UTF-8 if it is"))
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        streams.close_quietly()
        return 141  # as a shell reports SIGPIPE


def _report(error: UserError) -> None:
    """Prints an error in one line, and below it one line of help per setting that it is about."""
    print(f"{PROGRAM}: error: {error}", file=sys.stderr)
    from pipeline import setting_help  # loads pydantic, which a command that succeeds may not need

    for line in setting_help.help_lines(str(error)):
        print(f"  {line}", file=sys.stderr)


def find_commands() -> dict[str, ModuleType]:
    """The modules of `pipeline.cli` that are commands, by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(cli.__path__))
    modules = {name: importlib.import_module(f"{cli.__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "add_parser")}


def build_parser(commands: Mapping[str, ModuleType]) -> argparse.ArgumentParser:
    """Builds the parser of the program.

    Args:
      commands: the commands, of `find_commands`.
    """
    parser = _Parser(prog=PROGRAM, description=DESCRIPTION, epilog=EPILOG)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for command in commands.values():
        command.add_parser(subparsers)
    return parser
