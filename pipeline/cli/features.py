"""`caption-pipeline features`."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.cli.arguments import directory, load_config, settings_parser
from pipeline.cli.metadata import quiet_imports
from pipeline.errors import UserError
from pipeline.paths import Paths

if TYPE_CHECKING:
    from pipeline.feature_store import StoreUsage

EPILOG = """examples:
  caption-pipeline features --config my.yaml                             show what the feature store holds
  caption-pipeline features gc --config my.yaml --keep-last 5 --dry-run  show what would be deleted
  caption-pipeline features gc --config my.yaml --keep-last 5            delete features not used by the last 5 runs
"""


class ConfirmationError(UserError):
    """Files are to be deleted, and nobody can be asked."""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "features",
        parents=[settings_parser()],
        help="show feature-store usage; delete unused features",
        description="Shows feature-store usage, and how much of it no recent run uses. With gc, deletes that after "
        "confirmation; files younger than a day are kept, since they may belong to a run in progress.",
        epilog=EPILOG,
    )
    parser.add_argument("action", nargs="?", choices=["gc"], help="delete unused features")
    parser.add_argument(
        "--keep-last",
        metavar="N",
        type=int,
        default=10,
        help="number of most recent runs to keep features for (default: 10)",
    )
    parser.add_argument(
        "--also-root",
        metavar="DIR",
        type=directory,
        action="append",
        default=[],
        help="another root whose runs share the store (feature_extractor.store_dir); may be repeated",
    )
    parser.add_argument(
        "--also-metadata",
        metavar="URI",
        action="append",
        default=[],
        help="the same by the URI of ML Metadata, for roots in a bucket (setting metadata); may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="with gc: only print what would be deleted")
    parser.add_argument("--yes", action="store_true", help="with gc: delete without asking")


def run(args: argparse.Namespace) -> int:
    """Shows the usage; deletes what is unused if asked to."""
    if args.action is None and (args.dry_run or args.yes):
        raise UserError("--dry-run and --yes are only valid with features gc")
    if args.action == "gc" and not (args.yes or args.dry_run or sys.stdin.isatty()):
        raise ConfirmationError("features gc deletes files: confirm with --yes, or preview with --dry-run")
    for root in args.also_root:
        if "://" in root:
            raise UserError(f"--also-root {root}: name the ML Metadata of a root in a bucket with --also-metadata")
    config = load_config(args)
    from pipeline.config import check_metadata

    with quiet_imports():
        from pipeline import console, feature_store

        others = [Paths(root).metadata_uri for root in args.also_root]
        uris = [check_metadata(config), *others, *args.also_metadata]

    def read() -> "list[StoreUsage]":
        return feature_store.read_usage(config.feature_store_dir, uris, args.keep_last)

    usages = read()
    console.print_table(feature_store.table(usages, args.keep_last))
    return _collect(usages, read, args.dry_run, args.yes) if args.action == "gc" else 0


def _collect(usages: "list[StoreUsage]", read: "Callable[[], list[StoreUsage]]", dry_run: bool, yes: bool) -> int:
    """Deletes what is unused; returns the exit status."""
    from pipeline import feature_store

    deletions = dict(feature_store.deletions(usages))
    size = feature_store.format_size(sum(deletions.values()))
    if not deletions:
        print("Nothing to delete.")
        return 0
    if dry_run:
        print("\n".join(f"would delete {path}" for path in deletions))
        print(f"{size} in total")
        return 0
    if not yes:
        if not _confirm(f"Delete {size} of unused features? [y/N] "):
            print("Nothing was deleted.")
            return 1
        usages = feature_store.still_unused(read(), usages)  # a run may have started while the question was open
    print(f"Deleted {feature_store.format_size(feature_store.prune(usages))}")
    return 0


def _confirm(question: str) -> bool:
    """Asks, and returns whether the answer is yes."""
    try:
        return input(question).strip().lower() == "y"
    except EOFError:  # Ctrl-D
        print()
        return False
