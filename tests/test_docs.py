"""The pages: generated ones are up to date, links resolve, commands and settings that they name exist."""

import argparse
import dataclasses
import functools
import json
import pathlib
import re
import shlex

import pytest
import yaml

from components.shared.models import registry
from docs import cli_page, configuration_page, report_image
from pipeline import config_files, setting_help
from pipeline.cli import main as cli
from pipeline.config import Config
from pipeline.paths import Paths
from tests.documented_commands import (
    NOT_EXECUTED,
    PROGRAM,
    code_blocks,
    commands_in,
    documented_commands,
    executable_commands,
)
from tests.factories import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = "|".join(field.name for field in dataclasses.fields(Config))


def headings(path: pathlib.Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return set(map(setting_help.anchor, titles))


def code_of(page: pathlib.Path) -> list[str]:
    """The lines of a page's code blocks, comments left out, and its inline code; ```text has usages and output."""
    blocks = [block for language, block in code_blocks(page) if language != "text"]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`]+)`", text)
    return [*lines, *(" ".join(code.split()) for code in inline)]


def commands_of(page: pathlib.Path, program: str) -> list[str]:
    """The arguments of a program's calls; `…` stands for what a reader fills in."""
    calls = (re.match(rf"(?:\$ )?{program} (.*)", code) for code in code_of(page))
    return [call[1].replace("…", "") for call in calls if call and not call[1].endswith(" …")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_within_the_project_resolve(page):
    for link in re.findall(r"\]\((?!\w+://)([^)]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        assert path.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in headings(path), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_is_understood(page):
    parser = cli.build_parser(cli.find_commands())
    for command in commands_of(page, "caption-pipeline"):
        args = parser.parse_args(shlex.split(command))  # raises UserError
        for override in [*getattr(args, "overrides", []), *getattr(args, "param", [])]:
            assert is_setting(override.partition("=")[0]), f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_target_of_make_exists(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands_of(page, "make"):
        named = [word for word in shlex.split(command.partition("&&")[0]) if "=" not in word]
        assert set(named) <= targets, f"{page.name}: make {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_setting_exists(page):
    for code in code_of(page):
        if match := re.fullmatch(rf"((?:{SECTIONS})(?:\.[a-z_0-9]+)+)(=.*)?", code):
            is_old = page.name == "CHANGELOG.md" and match[1] in config_files.RENAMED
            assert is_setting(match[1]) or is_old or (page.parent / match[1]).exists(), f"{page.name}: {code}"


def is_setting(key: str) -> bool:
    """Whether a key is one of the settings, of any captioning model."""
    trees = [{"trainer": {"model": {"name": name}}} for name in registry.MODELS]
    return any(config_files._type_at(key.split("."), tree) is not None for tree in trees)


def test_the_checks_find_what_is_wrong(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`make tea`\n```\n$ caption-pipeline rnu --x   # so\nmake run \\\n  ARGS=-v\n```\nsee `trainer.epoch=3`\n"
    )
    assert commands_of(page, "make") == ["run ARGS=-v", "tea"]
    assert commands_of(page, "caption-pipeline") == ["rnu --x"]
    for check in (test_every_command_is_understood, test_every_target_of_make_exists, test_every_setting_exists):
        with pytest.raises((AssertionError, cli.UserError)):
            check(page)


def test_every_command_is_the_programs_own_or_listed_with_a_reason():
    """The program's own commands are parsed by its parser, see above, whether they are listed or not."""
    listed = [command for commands in NOT_EXECUTED.values() for command in commands]
    assert len(set(listed)) == len(listed) and set(listed) <= set(documented_commands())
    executable = executable_commands()
    assert len(executable) >= 10
    assert all(command.startswith(PROGRAM) for command in executable), "list it in NOT_EXECUTED"


def test_commands_are_read_from_shell_blocks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nmake a && make b   # both\nmake c \\\n  D=1\n```\n```text\nmake no\n```\n"
        "```\n$ make e\noutput\n```\n```python\nno\n```\n`make inline`\n"
    )
    assert commands_in(page) == ["make a", "make b", "make c D=1", "make e"]


@pytest.mark.parametrize("generator", [cli_page, configuration_page], ids=lambda module: module.PAGE.name)
def test_a_generated_page_is_up_to_date(generator):
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run `make docs`"


def test_each_default_is_that_of_the_config():
    page = configuration_page.page()
    for title, _, rows in setting_help.sections():
        [model] = [entry.settings() for name, entry in registry.MODELS.items() if f"name: {name}`" in title] or [None]
        config = Config()
        if model is not None:
            config = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, model=model))
        for row in rows:
            value = functools.reduce(getattr, row.key.split("."), config)
            assert row.default == setting_help._plain(value), row.key
            [cell] = re.findall(rf"^\| `{re.escape(row.key)}` \| `(.*?)` \|", row.to_markdown())
            assert yaml.safe_load(cell) == row.default and row.to_markdown() in page


@pytest.mark.parametrize(
    ("key", "default", "values"),
    [
        ("kubeflow.default_resources.cpu", "1", ""),
        ("kubeflow.default_resources.memory", "4Gi", ""),
        ("beam.step_args", {}, "`CaptionIngest`, `StatisticsGen`, `FeatureExtractor`, `Transform`"),
        ("data.unlisted_images", "train", "`train`, `skip`"),
        ("data.max_reject_fraction", 0.01, "≥ 0, ≤ 1"),
        ("data.max_images", None, "> 0"),
        ("trainer.label_smoothing", 0.0, "≥ 0, < 1"),
        ("name", "captions", "at most 63 characters"),
    ],
)
def test_a_row_has_default_and_allowed_values(key, default, values):
    [row] = [row for _, _, rows in setting_help.sections() for row in rows if row.key == key]
    assert (row.default, row.values) == (default, values)


def test_the_page_of_all_commands_does_not_depend_on_the_terminal_or_the_environment(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("KFP_HOST", "http://kfp")
    page = cli_page.page()
    assert page == cli_page.PAGE.read_text(encoding="utf-8")
    assert set(re.findall("^## (.*)$", page, re.MULTILINE)) >= set(cli.find_commands()) - {"kubeflow"} | {
        "kubeflow run"
    }


def test_a_command_has_usage_options_defaults_and_examples():
    parser = argparse.ArgumentParser(
        prog="caption-pipeline x",
        epilog="examples:\n  caption-pipeline x a   one\n  caption-pipeline x b\n              two",
    )
    parser.add_argument("--size", type=int, default=3, required=True, help="number of pixels")
    parser.add_argument("--root", metavar="DIR", help="place (default: runs/<name>)")
    parser.add_argument("--mode", choices=["fast", "slow"], help="how")
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument("--on", action="store_true", help="switch on")
    actions.add_argument("--off", action="store_true", help="switch off")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="an image")
    assert cli_page.usage(parser) == (
        "caption-pipeline x IMAGE ... --size SIZE [--root DIR] [--mode fast|slow] (--on | --off)"
    )
    assert [row.to_markdown() for row in cli_page.rows(parser)] == [
        "| `IMAGE ...` |  | an image |",
        "| `--size SIZE` | 3 | number of pixels; required |",
        "| `--root DIR` | runs/&lt;name> | place |",
        "| `--mode fast\\|slow` |  | how |",
        "| `--on` |  | switch on |",
        "| `--off` |  | switch off |",
    ]
    assert cli_page.examples(parser) == [("caption-pipeline x a", "one"), ("caption-pipeline x b", "two")]


def test_the_image_of_the_front_page_is_that_of_a_finished_run(tmp_path):
    paths = Paths(str(tmp_path))
    report = tmp_path / "report.html"
    assert report_image.report_of(paths) is None
    for content, expected in (({"report": None}, None), ({"report": str(report)}, report)):
        pathlib.Path(paths.summary).write_text(json.dumps(content))
        assert report_image.report_of(paths) is None
        report.touch()
        assert report_image.report_of(paths) == expected
        report.unlink()


def test_images_are_small_and_shown():
    images = list((ROOT / "docs" / "images").glob("*"))
    assert all(path.stat().st_size < 300_000 for path in images)
    texts = [page.read_text() for page in PAGES]
    assert all(any(f"images/{path.name})" in text for text in texts) for path in images)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_a_page_begins_with_what_one_can_do_after_reading_it(page):
    assert re.match(r"# .+\n\nAfter reading this page you (can|know) ", page.read_text())


def test_the_front_page_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120
