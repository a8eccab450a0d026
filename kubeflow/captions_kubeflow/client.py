"""Compiles, submits and schedules the captioning pipeline on Kubeflow Pipelines."""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captions_kubeflow.server import Server
    from pipeline.config import Config

# nothing heavy is imported here: --help answers at once

EPILOG = """examples:
  caption-kubeflow compile --config my.yaml --output captions.yaml
  caption-kubeflow run --config my.yaml --param trainer.epochs=3 --wait
  caption-kubeflow schedule --config my.yaml --name nightly --cron "0 3 * * *"
  caption-kubeflow schedule --list
  caption-kubeflow runs
  caption-kubeflow logs RUN Trainer
"""


class UsageError(Exception):
    """What was asked for can't be done; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 when a run failed, 2 when nothing could be done."""
    args = _parser().parse_args(argv)
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from captions_kubeflow import cron, logs, parameters, server
    from pipeline.config import ConfigError

    faults = (UsageError, ConfigError, cron.CronError, parameters.ParameterError, server.ServerError, logs.NoLogs)
    try:
        return args.do(args)
    except faults as error:
        print(f"caption-kubeflow: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caption-kubeflow",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        help="settings in YAML (default: the sample's); may be given several times, a later file wins",
    )
    settings.add_argument("--set", metavar="KEY=VALUE", action="extend", nargs="+", default=[], dest="overrides")
    reach = argparse.ArgumentParser(add_help=False)
    reach.add_argument("--host", default=os.environ.get("KFP_HOST"), help="of Kubeflow Pipelines (default: $KFP_HOST)")
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument(
        "--param", metavar="KEY=VALUE", action="extend", nargs="+", default=[], help="of the run, as trainer.epochs=3"
    )

    command = commands.add_parser("compile", parents=[settings], help="write the pipeline as a file")
    command.add_argument("--output", metavar="FILE", help="default: NAME.yaml, or NAME.json for vertex")
    command.add_argument("--target", choices=["kfp", "vertex"], default="kfp", help="default: kfp")
    command.set_defaults(do=_compile)

    command = commands.add_parser("run", parents=[settings, reach, choice], help="start a run")
    command.add_argument("--wait", action="store_true", help="until it has ended; exit status 1 when it failed")
    command.add_argument(
        "--timeout", type=int, default=24 * 3600, metavar="SECONDS", help="of the wait (default: a day)"
    )
    command.set_defaults(do=_run)

    command = commands.add_parser("schedule", parents=[settings, reach, choice], help="start runs by the clock")
    command.add_argument("--name", help="of the schedule (default: the pipeline's name)")
    command.add_argument(
        "--time-zone", default="UTC", help="the server's CRON_SCHEDULE_TIMEZONE (default: UTC, as KFP's)"
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--cron", metavar="'M H D M W'", help="create or replace: the usual five fields")
    for action in ("list", "pause", "resume", "delete"):
        what.add_argument(f"--{action}", action="store_const", const=action, dest="action")
    command.set_defaults(do=_schedule)

    command = commands.add_parser("runs", parents=[settings, reach], help="list the last runs, with what failed")
    command.add_argument("--limit", type=int, default=10, metavar="N")
    command.set_defaults(do=_runs)

    command = commands.add_parser("logs", help="print the logs of a run")
    command.add_argument("run", metavar="RUN")
    command.add_argument("step", metavar="STEP", nargs="?", help="one step alone, as Trainer")
    command.add_argument("--namespace", default="kubeflow", help="of the pipeline's pods (default: kubeflow)")
    command.add_argument("--log-dir", metavar="DIR", help="read POD.log files from here instead of asking Kubernetes")
    command.set_defaults(do=_logs)
    return parser


def _compile(args: argparse.Namespace) -> int:
    from pipeline import console

    config = _config(args)
    if args.target == "vertex":
        with console.without_chatter():
            from captions_kubeflow import vertex
        path = args.output or f"{config.name}.json"
        vertex.compile_to(config, path)
        print(f"{path}: for Vertex AI Pipelines")
        return 0
    with console.without_chatter():
        from captions_kubeflow import compiler
    path = args.output or f"{config.name}.yaml"
    parameters = compiler.compile_to(config, path)
    print(f"{path}: for Kubeflow Pipelines, image {config.kubeflow.image}; parameters:")
    for parameter in parameters:
        print(f"  {parameter.name} = {parameter.default!r}")
    return 0


def _run(args: argparse.Namespace) -> int:
    config = _config(args)
    given = _given(args)
    server = _server(args, config)
    with tempfile.TemporaryDirectory() as directory:
        run_id = server.submit(_package(config, directory), config.name, given)
    print(run_id, flush=True)
    if not args.wait:
        return 0
    try:
        state = server.wait(run_id, args.timeout).state
    except TimeoutError as error:
        raise UsageError(f"{error}; it goes on") from None
    print(state)
    return 0 if state == "SUCCEEDED" else 1


def _schedule(args: argparse.Namespace) -> int:
    from captions_kubeflow import cron

    config = _config(args)
    name = args.name or config.name
    if args.action == "list":
        _print_schedules(_server(args, config))
        return 0
    if args.action:
        if not _server(args, config).change_schedule(name, args.action):
            raise UsageError(f"no schedule {name}; see --list")
        print(f"{name}: {args.action}d")
        return 0
    six, times = cron.to_six_fields(args.cron), cron.next_times(args.cron, args.time_zone)
    given = _given(args)
    with tempfile.TemporaryDirectory() as directory:
        made = _server(args, config).schedule(_package(config, directory), name, six, given)
    print(f"{name}: {args.cron} (KFP: {six}), {made}; the next runs, if the server's clock is {args.time_zone}:")
    for time in times:
        print(f"  {time:%A %Y-%m-%d %H:%M %Z}")
    return 0


def _runs(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from captions_kubeflow.server import step_states

    server = _server(args, _config(args))
    table = Table("run", "created", "state", "steps that failed", box=None)
    table.columns[0].no_wrap = True
    for run in server.runs(args.limit):
        states = step_states(server.run(run.run_id)) if run.state != "SUCCEEDED" else {}
        failed = ", ".join(name for name, state in states.items() if state == "FAILED")
        table.add_row(run.run_id, f"{run.created_at:%Y-%m-%d %H:%M}", run.state or "PENDING", failed)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def _logs(args: argparse.Namespace) -> int:
    from captions_kubeflow import logs

    for pod, text in logs.read(args.namespace, args.run, args.step, args.log_dir):
        print(f"==> {pod}\n{text}")
    return 0


def _print_schedules(server: "Server") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("schedule", "state", "cron (six fields)", "id", box=None)
    for each in server.schedules():
        schedule = each.trigger.cron_schedule.cron if each.trigger and each.trigger.cron_schedule else ""
        table.add_row(each.display_name, each.status, schedule, each.recurring_run_id)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _config(args: argparse.Namespace) -> "Config":
    from pipeline import config

    return config.load(args.config, args.overrides)


def _given(args: argparse.Namespace) -> "dict[str, str | int | float]":
    """The run's parameters; they are refused here where the config would refuse them."""
    from captions_kubeflow import parameters
    from pipeline import config

    given = parameters.arguments(args.param)
    config.load(args.config, [*args.overrides, *parameters.overrides(given)])
    return given


def _server(args: argparse.Namespace, config: "Config") -> "Server":
    from captions_kubeflow.server import Server

    return Server.connect(args.host, config.name)


def _package(config: "Config", directory: str) -> str:
    from pipeline import console

    with console.without_chatter():
        from captions_kubeflow import compiler
    path = os.path.join(directory, "pipeline.yaml")
    compiler.compile_to(config, path)
    return path


if __name__ == "__main__":
    sys.exit(main())
