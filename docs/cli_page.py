"""The page of all commands, docs/cli.md, from the parsers of `pipeline.cli`.

It is written from the parsers' actions: what `format_help` makes of them depends on the version of Python and on the
width of the terminal.
"""

import argparse
import dataclasses
import pathlib
import re
import textwrap
from collections.abc import Iterator

from pipeline.cli.main import PROGRAM, build_parser, find_commands

PAGE = pathlib.Path(__file__).parent / "cli.md"
HEAD = f"""# Command line

After reading this page you can call every command of `{PROGRAM}` with the options that you need. `make docs`
writes it from the commands' own parsers (`pipeline/cli/`); do not edit it.

`python local_runner.py` is the same program without an installation. Exit status: 0 on success, 1 if a run or a part of
the work failed, 2 if the command could not be carried out, with one line on standard error that says why, and 130 if it
was interrupted. `--help` prints what this page says of a command.
"""
_USAGE_COLUMNS = 110
_DEFAULT = re.compile(r" ?\(default: ([^)]*)\)")
_EXAMPLE = re.compile(rf"({PROGRAM} .*?)(?:\s{{2,}}(\S.*))?")


@dataclasses.dataclass(frozen=True)
class Row:
    """An argument or option.

    Attributes:
      name: as it is written, with its value.
      default: its default, for people; empty if it has none.
      meaning: its help.
    """

    name: str
    default: str
    meaning: str

    def to_markdown(self) -> str:
        """The row of a table."""
        name, default, meaning = (text.replace("|", "\\|") for text in (self.name, self.default, self.meaning))
        return f"| `{name}` | {default.replace('<', '&lt;')} | {meaning.replace('<', '&lt;')} |"


def page() -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *(_section(parser) for parser in commands(build_parser(find_commands())))])


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yields the parsers of the commands, and of their subcommands, that are carried out by themselves."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)
            return
    yield parser


def rows(parser: argparse.ArgumentParser) -> list[Row]:
    """The arguments and options of a command, `--help` left out."""
    return [_row(action) for action in _actions(parser)]


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage of a command, in lines of a fixed length."""
    groups = {id(action): group for group in parser._mutually_exclusive_groups for action in group._group_actions}
    parts = []
    for action in _actions(parser):
        group = groups.get(id(action))
        if group is None:
            parts.append(_in_usage(action))
        elif action is group._group_actions[0]:
            choices = " | ".join(_name(choice) for choice in group._group_actions)
            parts.append(f"({choices})" if group.required else f"[{choices}]")
    lines = textwrap.wrap(
        " ".join([parser.prog, *(part.replace(" ", "\xa0") for part in parts)]),  # a part stays in one line
        width=_USAGE_COLUMNS,
        subsequent_indent=" " * 4,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines).replace("\xa0", " ")


def examples(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The (command, comment) of the examples in a parser's epilog."""
    found: list[tuple[str, str]] = []
    for line in (parser.epilog or "").removeprefix("example:").splitlines():
        if match := _EXAMPLE.fullmatch(line.strip()):
            found.append((match[1], match[2] or ""))
        elif line.strip() and line.strip() != "examples:":  # the comment of a long command is on a line of its own
            found[-1] = (found[-1][0], line.strip())
    return found


def _section(parser: argparse.ArgumentParser) -> str:
    lines = [f"## {parser.prog.removeprefix(PROGRAM).strip()}\n", *textwrap.wrap(parser.description or "", 120), ""]
    lines += ["```text", usage(parser), "```\n"]
    lines += ["| argument | default | meaning |", "| --- | --- | --- |"]
    lines += [*(row.to_markdown() for row in rows(parser)), ""]
    if samples := examples(parser):
        width = max(len(command) for command, _ in samples)
        commented = (f"{command:<{width}}  # {text}" if text else command for command, text in samples)
        lines += ["```sh", *commented, "```\n"]
    return "\n".join(lines)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments in their order, then the options in theirs."""
    shown = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    return sorted(shown, key=lambda action: bool(action.option_strings))


def _row(action: argparse.Action) -> Row:
    meaning = _DEFAULT.sub("", action.help or "")
    if action.required and action.option_strings:
        meaning += "; required"
    return Row(_name(action), _default(action), meaning)


def _default(action: argparse.Action) -> str:
    """The default as the help has it: that of `--host` comes from the environment of who writes the page."""
    if match := _DEFAULT.search(action.help or ""):
        return match[1]
    return str(action.default) if isinstance(action.default, str | int) and action.nargs != 0 else ""


def _name(action: argparse.Action) -> str:
    return ", ".join(f"{name} {_values(action)}".strip() for name in action.option_strings) or _values(action)


def _in_usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return _values(action)
    name = f"{action.option_strings[0]} {_values(action)}".strip()
    return name if action.required else f"[{name}]"


def _values(action: argparse.Action) -> str:
    """What is written for the values of an action: `FILE`, `RUN ...`, `[STEP]`."""
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices is not None:
        name = "|".join(map(str, action.choices))
    else:
        name = str(action.metavar or action.dest.upper())
    forms = {"+": f"{name} ...", "*": f"[{name} ...]", "?": f"[{name}]"}
    return forms.get(str(action.nargs), name)
