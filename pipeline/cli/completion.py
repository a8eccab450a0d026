"""`caption-pipeline completion`: prints a script that completes commands, options, paths, configs and settings."""

import argparse
from collections.abc import Iterator
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")

EPILOG = """examples:
  caption-pipeline completion bash   # save as ~/.local/share/bash-completion/completions/caption-pipeline
  caption-pipeline completion zsh    # save as _caption-pipeline in a directory of $fpath
  caption-pipeline completion tcsh   # save, and `source` it in ~/.tcshrc
"""
# no blank after the name of a setting, which its value follows
KEEP_EQUALS_SIGN = """
_caption_pipeline() {
  _shtab_caption_pipeline
  if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace 2>/dev/null || :; fi
}
complete -o bashdefault -F _caption_pipeline caption-pipeline"""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Prints a script with which the shell completes commands, options, paths, built-in configs and the "
        "names of settings.",
        epilog=EPILOG,
    )
    parser.add_argument("shell", choices=SHELLS, help="shell that is to complete")


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab

    from pipeline.cli import main

    parser = main.build_parser(main.find_commands())
    _set_completions(parser)
    script = shtab.complete(parser, shell=args.shell)
    print(script + KEEP_EQUALS_SIGN if args.shell == "bash" else script)
    return 0


def _set_completions(parser: argparse.ArgumentParser) -> None:
    """Gives each argument of a parser, and of its commands, what completes its values, by the argument's metavar."""
    import shtab

    from pipeline import builtin_configs
    from pipeline.cli.kubeflow.options import PARAMETERS
    from pipeline.config import Config, to_dict

    by_metavar = {"FILE": shtab.FILE, "IMAGE": shtab.FILE, "DIR": shtab.DIRECTORY, "MODEL_DIR": shtab.DIRECTORY}
    configs = _words("config_files", builtin_configs.names(), also="compgen -f -- $1")
    by_name = {
        "config": configs | {shell: shtab.FILE[shell] for shell in ("zsh", "tcsh")},  # files alone
        "overrides": _words("settings", [f"{key}=" for key in _keys(to_dict(Config()))]),
        "param": _words("parameters", [f"{key}=" for key in PARAMETERS]),
    }
    for action in _actions(parser):
        completion = by_name.get(action.dest) or by_metavar.get(str(action.metavar))
        if completion:
            action.complete = completion  # type: ignore[attr-defined]


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of its commands."""
    for action in parser._actions:  # argparse has no public list of them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _words(name: str, words: list[str], also: str = "") -> dict[str, Any]:
    """Completion of words, as shtab takes it: what completes them per shell, and the function that bash needs for it.

    Args:
      name: name of the function; bash completes what a name with "_file" puts out as paths.
      words: the words.
      also: another bash command whose lines are completions.
    """
    function, words_of_shell = f"_caption_pipeline_{name}", " ".join(words)
    preamble = f'{function}() {{\n  compgen -W "{words_of_shell}" -- $1\n  {also or ":"}\n}}\n'
    choices = {"zsh": f"({words_of_shell})", "tcsh": f"({words_of_shell})"}
    return {"bash": function, **choices, "preamble": {"bash": preamble}}


def _keys(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of settings.

    >>> list(_keys({"name": "captions", "data": {"dir": None}}))
    ['name', 'data.dir']
    """
    for key, value in settings.items():
        if value and isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key
