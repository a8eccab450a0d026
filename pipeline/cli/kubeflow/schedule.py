"""`caption-pipeline kubeflow schedule`: creates, lists and changes recurring runs."""

import argparse
from typing import TYPE_CHECKING, Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.kubeflow.options import compiled, connect, parameter_options, run_parameters, server_options
from pipeline.errors import UserError

if TYPE_CHECKING:
    from captions_kubeflow.server import Server


EPILOG = """examples:
  caption-pipeline kubeflow schedule --config my.yaml --name nightly --cron "0 3 * * *" --param trainer.epochs=3
  caption-pipeline kubeflow schedule --config my.yaml --list
  caption-pipeline kubeflow schedule --config my.yaml --name nightly --pause
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "schedule",
        parents=[settings_parser(root=False), server_options(), parameter_options()],
        help="schedule recurring runs",
        description="Creates, replaces, lists, pauses, resumes or deletes recurring runs. Only --cron compiles the "
        "pipeline; otherwise, of the settings only the pipeline's name is used. Deleting a schedule stops its run "
        "in progress, so a schedule cannot be replaced while it has one.",
        epilog=EPILOG,
    )
    parser.add_argument("--name", help="name of the schedule (default: the pipeline's name)")
    parser.add_argument(
        "--time-zone", default="UTC", help="time zone of the server, its CRON_SCHEDULE_TIMEZONE (default: UTC)"
    )
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument(
        "--cron",
        metavar="'M H D M W'",
        help="create or replace the schedule: minute, hour, day of month, month, day of week",
    )
    actions.add_argument("--list", action="store_const", const="list", dest="action", help="list all schedules")
    for action in ("pause", "resume", "delete"):
        text = f"{action} the schedule" + (", and stop its run in progress" if action == "delete" else "")
        actions.add_argument(f"--{action}", action="store_const", const=action, dest="action", help=text)


def run(args: argparse.Namespace) -> int:
    """Creates, lists or changes schedules."""
    config = load_config(args)
    name = args.name or config.name
    if args.action == "list":
        _print_schedules(connect(args, config))
        return 0
    if args.action:
        if not connect(args, config).change_schedule(name, args.action):
            raise UserError(f"no schedule {name}; see --list")
        print(f"{name}: {args.action}d")
        return 0
    from captions_kubeflow import cron

    six_fields, times = cron.to_six_fields(args.cron), cron.next_times(args.cron, args.time_zone)
    parameters = run_parameters(args)
    with compiled(config) as package:
        schedule_id = connect(args, config).schedule(package, name, six_fields, parameters)
    print(f"{name}: {args.cron} (KFP: {six_fields}), {schedule_id}; next runs, if the server is in {args.time_zone}:")
    for time in times:
        print(f"  {time:%A %Y-%m-%d %H:%M %Z}")
    return 0


def _print_schedules(server: "Server") -> None:
    from rich.table import Table

    from pipeline import console

    table = Table("schedule", "state", "cron (six fields)", "ID", box=None)
    for schedule in server.schedules():
        cron = schedule.trigger.cron_schedule.cron if schedule.trigger and schedule.trigger.cron_schedule else ""
        table.add_row(schedule.display_name, schedule.status, cron, schedule.recurring_run_id)
    console.print_table(table)
