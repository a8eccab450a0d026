"""Arguments that several commands share."""

import argparse
from typing import TYPE_CHECKING, Any

from pipeline import builtin_configs

if TYPE_CHECKING:
    from pipeline.config import Config


def settings_parser(root: bool = True) -> argparse.ArgumentParser:
    """The arguments that choose settings, as a parent of a command's parser.

    Args:
      root: whether the command takes `--root`, too.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        help=f"settings in YAML: a file, or a built-in config ({', '.join(builtin_configs.names())}; default: sample); "
        "may be repeated, later ones override earlier ones",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="extend",
        nargs="+",
        default=[],
        dest="overrides",
        help="override settings, e.g. data.dir=images trainer.epochs=3",
    )
    if root:
        parser.add_argument(
            "--root", metavar="DIR", type=directory, help="output directory (default: runs/<pipeline name>)"
        )
    return parser


def directory(text: str) -> str:
    """The type of an option that names a directory: an empty one would stand for another directory."""
    if not text:
        raise argparse.ArgumentTypeError("the directory name is empty (is a shell variable unset?)")
    return text


def pipeline_arguments(args: argparse.Namespace) -> list[str]:
    """The arguments that name the pipeline, of all that a `settings_parser` has read: for another command to repeat."""
    arguments = [word for file in args.config or () for word in ("--config", file)]
    names = [override for override in args.overrides if override.startswith(("name=", "root=", "metadata="))]
    arguments += ["--set", *names] if names else []
    return arguments + (["--root", args.root] if args.root is not None else [])


def load_config(args: argparse.Namespace, **replacements: Any) -> "Config":
    """The settings that the arguments choose.

    Args:
      args: the arguments of a command with a `settings_parser`.
      **replacements: top-level settings of the command's own arguments.

    Raises:
      UserError: a setting cannot be used.
    """
    import dataclasses

    from pipeline import config_files

    if getattr(args, "root", None) is not None:
        replacements["root"] = args.root
    return dataclasses.replace(config_files.load(args.config, args.overrides), **replacements)
