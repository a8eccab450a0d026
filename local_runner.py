"""Runs the captioning pipeline on this machine, and captions pictures with the models that it pushes."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tfx.orchestration import metadata

    from pipeline.config import Config

# nothing heavy is imported here: --help answers at once

EPILOG = """examples:
  local_runner.py run                                      the built-in sample, into runs/sample
  local_runner.py run --config pipeline/configs/flickr8k.yaml --set data.dir=pictures/flickr8k
  local_runner.py run --set trainer.epochs=3 --to Trainer  try a setting, stop before the evaluation
  local_runner.py stats                                    what the data of the last run is like
  local_runner.py store --drop --last 5                    forget the features that no run of the last 5 needs
  local_runner.py compare                                  the last runs side by side: settings and metrics
  local_runner.py lineage runs/sample/serving              what made the model that is served
  local_runner.py rollback                                 serve the model before this one again
  local_runner.py caption --model runs/sample/serving picture.jpg
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(argv)
    commands = {"run": _run, "caption": _caption, "stats": _stats, "store": _store}
    commands |= {"compare": _compare, "lineage": _lineage, "rollback": _rollback}
    return commands[args.command](args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="local_runner.py", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        help="settings in YAML (default: pipeline/configs/sample.yaml); may be given several times, a later file wins",
    )
    settings.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="extend",
        nargs="+",
        default=[],
        dest="overrides",
        help="override settings, as in data.dir=pictures trainer.epochs=3",
    )
    settings.add_argument("--root", metavar="DIR", help="where everything is written (default: runs/<pipeline name>)")

    run = commands.add_parser(
        "run",
        parents=[settings],
        help="run the pipeline",
        description="Runs the whole pipeline, or a part of it. What an earlier run has computed with the same data, "
        "settings and code is taken from the cache. Exit status: 0 when all steps ended well, whether the model was "
        "blessed or not; 1 when a step failed; 2 when the settings can't be used.",
    )
    run.add_argument("--no-cache", action="store_true", help="run every step, though features are never computed twice")
    run.add_argument("--from", metavar="NODE", dest="from_node", help="start here, with an earlier run's outputs")
    run.add_argument("--to", metavar="NODE", dest="to_node", help="stop after this step")
    run.add_argument("-v", "--verbose", action="store_true", help="show the log, too")

    caption = commands.add_parser(
        "caption",
        help="caption pictures",
        description="Prints a line for each picture: its path, a tab, its caption. A file that is no picture is "
        "reported, the others are captioned; exit status 1 then.",
    )
    caption.add_argument(
        "--model", metavar="DIR", required=True, help="a pushed model, or the directory with its versions"
    )
    caption.add_argument("pictures", metavar="PICTURE", nargs="+", help="JPEG, PNG, GIF, BMP or WebP")

    stats = commands.add_parser(
        "stats",
        parents=[settings],
        help="describe the data of the last run",
        description="Prints tables about the captions that the last run has read (lengths, vocabulary before and after "
        "cleaning, commonest words), and writes them with TFDV's picture of the statistics as one HTML file.",
    )
    stats.add_argument("--output", metavar="FILE", help="default: ROOT/statistics.html")

    store = commands.add_parser(
        "store",
        parents=[settings],
        help="show the feature store, and make room in it",
        description="Prints what the feature store holds, and how much of it the last runs don't need. With --drop "
        "that is removed; what is younger than a day stays, since a run that goes on may have made it.",
    )
    store.add_argument("--last", metavar="N", type=int, default=10, help="runs of a pipeline that count (default: 10)")
    store.add_argument("--drop", action="store_true", help="remove what none of them needs")
    store.add_argument(
        "--other-root",
        metavar="DIR",
        action="append",
        default=[],
        help="another root whose runs use the same store (feature_extractor.store); may be given several times",
    )
    _add_history(commands, settings)
    return parser


def _add_history(commands: Any, settings: argparse.ArgumentParser) -> None:
    """The commands about what was."""
    compare = commands.add_parser(
        "compare",
        parents=[settings],
        help="set runs side by side",
        description="Prints a column for each run, from ML Metadata: metrics with 95 % intervals, the decision, and "
        "the settings in which the runs differ.",
    )
    compare.add_argument("--all", action="store_true", help="also the settings in which they don't differ")
    compare.add_argument(
        "runs", metavar="RUN", nargs="*", help="ids of runs, or how they begin or end (default: the last 5)"
    )

    lineage = commands.add_parser(
        "lineage",
        help="tell what made a model",
        description="Prints which data, features, vocabulary, settings and code made a model, step by step, from "
        "the ML Metadata of the root that it lies in.",
    )
    lineage.add_argument("model", metavar="MODEL_DIR", help="a pushed version, or the directory with the versions")
    lineage.add_argument(
        "--root", metavar="DIR", help="the root with the metadata, if not the one that the model is in"
    )
    lineage.add_argument("--json", action="store_true", help="all that is known, as JSON")

    rollback = commands.add_parser(
        "rollback",
        parents=[settings],
        help="serve the model before this one again",
        description="Pushes the model that was served before the present one as a new version, so that servers "
        "take it. It is the baseline of the next run; the model that is taken back is not blessed again.",
    )
    rollback.add_argument("--to", metavar="VERSION", help="go back to this version (default: the model before)")


def _settings(args: argparse.Namespace, to_run: bool) -> "Config | None":
    """The settings that the arguments give; None, and said, where they can't be used."""
    from pipeline import config as configs

    given: dict[str, Any] = {}
    if args.root is not None:
        given["root"] = args.root
    if getattr(args, "no_cache", False):
        given["cache"] = False
    try:
        config = dataclasses.replace(configs.load(args.config, args.overrides), **given)
        if to_run:
            configs.check_paths(config)
    except configs.ConfigError as error:
        _refuse(error)
        return None
    return config


def _run(args: argparse.Namespace) -> int:
    config = _settings(args, to_run=True)
    if config is None:
        return 2
    from pipeline import local_run

    return local_run.run(config, args.from_node, args.to_node, args.verbose)


def _caption(args: argparse.Namespace) -> int:
    # set before TensorFlow is loaded: its chatter is not the answer
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pipeline import console

    with console.without_chatter():
        from pipeline import captioning

    failed = False
    try:
        with console.without_chatter():
            model = captioning.load(args.model)
    except captioning.NoModel as error:
        return _refuse(error)
    for picture, sentence, fault in captioning.caption(model, args.pictures):
        if sentence is None:
            failed = True
            print(f"{picture}: not captioned: {fault}", file=sys.stderr, flush=True)
        else:
            print(f"{picture}\t{sentence}", flush=True)
    return int(failed)


def _stats(args: argparse.Namespace) -> int:
    config = _settings(args, to_run=False)
    if config is None:
        return 2
    path = args.output or os.path.join(config.root_dir, "statistics.html")
    with _metadata(os.path.join(config.root_dir, "metadata.sqlite")) as handle:
        if handle is None:
            return 2
        from pipeline import console

        with console.without_chatter():
            from rich.console import Console

            from pipeline import data_report
        try:
            with console.without_chatter():
                tables = data_report.write(handle, config, path)
        except data_report.NoData as error:
            return _refuse(error)
    Console(highlight=False, width=None if sys.stdout.isatty() else data_report.WIDTH).print(tables)
    print(f"\nwith TFDV's picture: {path}")
    return 0


def _store(args: argparse.Namespace) -> int:
    config = _settings(args, to_run=False)
    if config is None:
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pipeline import console

    with console.without_chatter():
        from rich.console import Console

        from pipeline import feature_store

    try:
        roots = [config.root_dir, *args.other_root]
        with console.without_chatter():
            found = feature_store.find(config.feature_store_dir, roots, args.last)
    except ValueError as error:
        return _refuse(error)
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(feature_store.table(found, args.last))
    if args.drop:
        print(f"{feature_store.drop(found) / 2**20:.1f} MiB freed")
    return 0


@contextlib.contextmanager
def _metadata(database: str) -> "Iterator[metadata.Metadata | None]":
    """The metadata of a root, checked and upgraded where need be; None, and said, where it can't be used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pipeline import console

    if not os.path.exists(database):
        print(f"local_runner.py: nothing has run in {os.path.dirname(database)} yet", file=sys.stderr)
        yield None
        return
    with console.without_chatter():
        from tfx.orchestration import metadata

        from pipeline import database as databases

        connection = metadata.sqlite_metadata_connection_config(database)
    try:
        databases.prepare(connection)
    except databases.DatabaseError as error:
        _refuse(error)
        yield None
        return
    with metadata.Metadata(connection) as handle:
        yield handle


def _refuse(why: object) -> int:
    """Says why a command can't be carried out; returns the exit status."""
    print(f"local_runner.py: {why}", file=sys.stderr)
    return 2


def _compare(args: argparse.Namespace) -> int:
    config = _settings(args, to_run=False)
    if config is None:
        return 2
    with _metadata(os.path.join(config.root_dir, "metadata.sqlite")) as handle:
        if handle is None:
            return 2
        from pipeline import compare

        try:
            table = compare.table(compare.find(handle.store, config.name, args.runs), args.all)
        except compare.NoRun as error:
            return _refuse(error)
    _show(table)
    return 0


def _lineage(args: argparse.Namespace) -> int:
    from pipeline import console

    with console.without_chatter():
        from pipeline import origin

    database = os.path.join(args.root, origin.DATABASE) if args.root else origin.database_above(args.model)
    if database is None:
        return _refuse(f"{args.model} lies in no root (no {origin.DATABASE} above it)")
    with _metadata(database) as handle:
        if handle is None:
            return 2
        try:
            found = origin.find(handle.store, args.model)
        except origin.UnknownModel as error:
            return _refuse(error)
    if args.json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _show(origin.tables(found))
    return 0


def _rollback(args: argparse.Namespace) -> int:
    config = _settings(args, to_run=False)
    if config is None:
        return 2
    with _metadata(os.path.join(config.root_dir, "metadata.sqlite")) as handle:
        if handle is None:
            return 2
        from pipeline import rollback

        try:
            serving = os.path.join(config.root_dir, "serving")
            done = rollback.roll_back(handle.store, config.name, serving, args.to)
        except rollback.CannotRollBack as error:
            return _refuse(error)
    print(f"{os.path.join(serving, done.new)} is version {done.back} again; {done.gone} will not be blessed once more")
    return 0


def _show(tables: "RenderableType") -> None:
    """Prints tables; lines are as long as they are where no terminal cuts them."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000).print(tables)


if __name__ == "__main__":
    sys.exit(main())
