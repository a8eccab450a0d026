"""The commands `caption-pipeline kubeflow`. A mock replaces KFP's client; tests/cluster uses a real server."""

import argparse
import datetime
import json
import logging
import pathlib
import re
import subprocess
import sys
from unittest import mock

import kfp
import pytest
import yaml
from captions_kubeflow import logs, parameters, server
from captions_kubeflow.server import Server, ServerError
from kfp_server_api import (
    V2beta1CronSchedule,
    V2beta1Experiment,
    V2beta1ListRecurringRunsResponse,
    V2beta1ListRunsResponse,
    V2beta1PipelineTaskDetail,
    V2beta1RecurringRun,
    V2beta1Run,
    V2beta1RunDetails,
    V2beta1Trigger,
)

from pipeline.cli.kubeflow import options
from pipeline.cli.main import main
from tests.factories import ROOT, frozen_datetime


@pytest.fixture(autouse=True)
def restored_process(monkeypatch):
    monkeypatch.delenv("KFP_HOST", raising=False)
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def kfp_client(monkeypatch) -> mock.Mock:
    """KFP's client, as `Server.connect` creates it; `compiled` contains the pipelines that were passed to it."""
    fake = mock.create_autospec(kfp.Client, instance=True)
    fake.compiled = []
    fake.create_experiment.return_value = V2beta1Experiment(experiment_id="experiment")
    fake.list_recurring_runs.return_value = V2beta1ListRecurringRunsResponse()

    def start(package, **options):
        fake.compiled.append(pathlib.Path(package).read_text())
        return mock.Mock(run_id="run-1")

    def schedule(pipeline_package_path, **options):
        fake.compiled.append(pathlib.Path(pipeline_package_path).read_text())
        return V2beta1RecurringRun(recurring_run_id="schedule-1")

    fake.create_run_from_pipeline_package.side_effect = start
    fake.create_recurring_run.side_effect = schedule
    monkeypatch.setattr(kfp, "Client", mock.Mock(return_value=fake))
    return fake


def kubeflow(*arguments: str) -> int:
    return main(["kubeflow", *arguments])


def error_of(capsys, *arguments: str) -> str:
    """The error line of a command that is rejected, without the help for the settings that it names."""
    assert kubeflow(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    line, *help_lines = printed.err.splitlines()
    assert all(each.startswith("  ") for each in help_lines)
    assert line.startswith("caption-pipeline: error: ")
    return line.removeprefix("caption-pipeline: error: ")


def test_without_the_extra_the_error_says_how_to_install_it():
    """As in an environment without kfp, croniter and kubernetes."""
    code = "import sys; sys.modules['kfp'] = None; from pipeline.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "kubeflow", "compile", "--output", "/nowhere/p.yaml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "caption-pipeline: error: the extra `kubeflow` is not installed (no module kfp): pip install -e '.[kubeflow]'\n"
    )


@pytest.mark.parametrize("command", [[], ["compile"], ["run"], ["schedule"], ["runs"], ["logs"]])
def test_help_shows_usage_and_examples(command, capsys):
    with pytest.raises(SystemExit) as exit_status:
        kubeflow(*command, "--help")
    assert exit_status.value.code == 0
    out = capsys.readouterr().out
    program = " ".join(["caption-pipeline kubeflow", *command])
    assert out.startswith(f"usage: {program} ")
    assert re.search(rf"example(s:\n|: ).*{program} ", out)
    assert "%%" not in out


def test_help_names_the_parameters_and_what_deleting_stops(capsys):
    assert tuple(parameters.PARAMETERS) == options.PARAMETERS
    for command, facts in (("run", parameters.PARAMETERS), ("schedule", ["stop its run in progress"])):
        with pytest.raises(SystemExit):
            kubeflow(command, "--help")
        out = " ".join(capsys.readouterr().out.split())
        assert [fact for fact in facts if fact not in out] == []
        assert "port-forward to the cluster in your kubeconfig" in out


@pytest.mark.parametrize(
    "arguments",
    [[], ["compile", "--target", "airflow"], ["schedule"], ["schedule", "--pause", "--cron", "0 3 * * *"], ["logs"]],
)
def test_wrong_usage_is_rejected(arguments, capsys):
    command = " ".join(["caption-pipeline kubeflow", *arguments[:1]])
    assert error_of(capsys, *arguments).endswith(f"(see {command} --help)")


def test_compile_writes_the_pipeline_and_names_the_parameters(tmp_path, capsys):
    path = tmp_path / "p.yaml"
    assert kubeflow("compile", "--output", str(path), "--set", "trainer.epochs=4", "kubeflow.image=r/i:7") == 0
    first, *parameters = capsys.readouterr().out.splitlines()
    assert first == f"Wrote {path} for Kubeflow Pipelines, image r/i:7; parameters:"
    assert "  trainer_epochs = 4" in parameters and "  feature_extractor_weights = 'random'" in parameters
    assert next(yaml.safe_load_all(path.read_text()))["pipelineInfo"]["name"] == "sample"


def test_the_service_account_is_that_of_a_run_and_named_to_who_uploads_the_pipeline(kfp_client, tmp_path, capsys):
    settings = ["--set", "kubeflow.service_account=captions-steps"]
    assert kubeflow("compile", "--output", str(tmp_path / "p.yaml"), *settings) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Choose the service account captions-steps when you start a run of it"
    assert kubeflow("run", *settings) == 0
    [call] = kfp_client.create_run_from_pipeline_package.mock_calls
    assert call.kwargs["service_account"] == "captions-steps"


def test_the_file_is_named_after_the_pipeline(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kubeflow("compile", "--set", "name=mine") == 0
    assert kubeflow("compile", "--set", "name=mine", "root=gs://bucket/x", "--target", "vertex") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Wrote mine.json for Vertex AI Pipelines"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.yaml"]
    assert json.loads((tmp_path / "mine.json").read_text())


def test_a_run_is_compiled_and_started(kfp_client, capsys, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("name: mine\ntrainer: {epochs: 9}\n")
    arguments = ["run", "--config", str(config), "--param", "trainer.epochs=3", "data.dir=/captions/d"]
    assert kubeflow(*arguments) == 0
    assert capsys.readouterr().out == "run-1\n"
    [call] = kfp_client.create_run_from_pipeline_package.mock_calls
    assert call.kwargs["arguments"] == {"trainer_epochs": 3, "data_dir": "/captions/d"}
    assert (call.kwargs["run_name"], call.kwargs["experiment_name"]) == ("mine", "mine")
    [text] = kfp_client.compiled
    spec = next(yaml.safe_load_all(text))
    assert spec["root"]["inputDefinitions"]["parameters"]["trainer_epochs"]["defaultValue"] == 9
    assert not pathlib.Path(call.args[0]).exists()
    kfp_client.get_run.assert_not_called()


@pytest.mark.parametrize(
    ("arguments", "environment", "host"),
    [
        ([], None, None),
        ([], "http://there", "http://there"),
        (["--host", "http://here"], "http://there", "http://here"),
    ],
)
def test_the_host_comes_from_the_option_or_the_environment(kfp_client, monkeypatch, arguments, environment, host):
    if environment:
        monkeypatch.setenv("KFP_HOST", environment)
    assert kubeflow("schedule", "--list", *arguments) == 0
    kfp.Client.assert_called_once_with(host=host)


@pytest.mark.parametrize(("state", "status"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1), ("SKIPPED", 1)])
def test_waiting_prints_the_state_of_the_run(kfp_client, capsys, state, status):
    kfp_client.get_run.return_value = V2beta1Run(state=state)
    assert kubeflow("run", "--wait") == status
    assert capsys.readouterr().out == f"run-1\n{state}\n"


def test_a_run_that_does_not_finish_in_time_is_an_error(kfp_client, capsys):
    kfp_client.get_run.return_value = V2beta1Run(state="RUNNING")
    assert kubeflow("run", "--wait", "--timeout", "0") == 2
    printed = capsys.readouterr()
    assert printed.out == "run-1\n"
    assert printed.err == "caption-pipeline: error: run run-1 is still running after 0 s\n"


def test_waiting_takes_a_day_by_default(kfp_client, monkeypatch):
    waits = []
    monkeypatch.setattr(Server, "wait", lambda self, run, seconds: waits.append(seconds) or mock.Mock(state="FAILED"))
    kubeflow("run", "--wait")
    kubeflow("run", "--wait", "--timeout", "60")
    assert waits == [86400, 60]


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock to noon in UTC on Monday, November 23, 2026."""
    from captions_kubeflow import cron

    noon = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr(cron, "datetime", argparse.Namespace(datetime=frozen_datetime(noon)))


def test_a_schedule_is_created_and_its_next_runs_are_printed(kfp_client, capsys, clock):
    arguments = ["--name", "nightly", "--cron", "0 3 * * 7", "--time-zone", "Europe/Berlin"]
    assert kubeflow("schedule", *arguments, "--param", "trainer.epochs=3") == 0
    assert capsys.readouterr().out.splitlines() == [
        "nightly: 0 3 * * 7 (KFP: 0 0 3 * * 0), schedule-1; next runs, if the server is in Europe/Berlin:",
        "  Sunday 2026-11-29 03:00 CET",
        "  Sunday 2026-12-06 03:00 CET",
        "  Sunday 2026-12-13 03:00 CET",
    ]
    [call] = kfp_client.create_recurring_run.mock_calls
    assert (call.kwargs["job_name"], call.kwargs["cron_expression"]) == ("nightly", "0 0 3 * * 0")
    assert call.kwargs["params"] == {"trainer_epochs": 3}
    assert len(kfp_client.compiled) == 1


def test_the_defaults_of_a_schedule_are_the_pipelines_name_and_utc(kfp_client, capsys, clock):
    assert kubeflow("schedule", "--set", "name=mine", "--cron", "0 3 * * *") == 0
    out = capsys.readouterr().out
    assert out.startswith("mine: 0 3 * * *") and "Tuesday 2026-11-24 03:00 UTC" in out
    assert kfp_client.create_recurring_run.mock_calls[0].kwargs["job_name"] == "mine"


@pytest.mark.parametrize(
    ("action", "method", "line"),
    [
        ("--pause", "disable_recurring_run", "nightly: paused"),
        ("--resume", "enable_recurring_run", "nightly: resumed"),
        ("--delete", "delete_recurring_run", "nightly: deleted"),
    ],
)
def test_a_schedule_is_changed_by_its_name(kfp_client, capsys, action, method, line):
    kfp_client.list_recurring_runs.return_value.recurring_runs = [
        V2beta1RecurringRun(recurring_run_id="7", display_name="nightly")
    ]
    assert kubeflow("schedule", "--name", "nightly", action) == 0
    assert capsys.readouterr().out == f"{line}\n"
    getattr(kfp_client, method).assert_called_once_with("7")
    assert error_of(capsys, "schedule", "--name", "weekly", action) == "no schedule weekly; see --list"


def test_schedules_are_listed(kfp_client, capsys):
    trigger = V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron="0 0 3 * * *"))
    kfp_client.list_recurring_runs.return_value.recurring_runs = [
        V2beta1RecurringRun(recurring_run_id="7", display_name="nightly", status="ENABLED", trigger=trigger),
        V2beta1RecurringRun(recurring_run_id="8", display_name="other one", status="DISABLED"),
    ]
    assert kubeflow("schedule", "--list") == 0
    _, nightly, other = capsys.readouterr().out.splitlines()
    assert nightly.split() == ["nightly", "ENABLED", "0", "0", "3", "*", "*", "*", "7"]
    assert other.split() == ["other", "one", "DISABLED", "8"]


def test_runs_are_listed_with_their_failed_steps(kfp_client, capsys):
    created = datetime.datetime(2026, 11, 23, 12, 30)
    states = {"trainer": "FAILED", "pusher": "FAILED", "captioningest": "SUCCEEDED"}
    details = [V2beta1PipelineTaskDetail(display_name=name, state=state) for name, state in states.items()]
    details += [V2beta1PipelineTaskDetail(display_name=f"{name}-driver", state="SUCCEEDED") for name in states]
    runs = [
        V2beta1Run(run_id="c" * 36, state=None, created_at=created),
        V2beta1Run(run_id="b" * 36, state="FAILED", created_at=created),
        V2beta1Run(run_id="a" * 36, state="SUCCEEDED", created_at=created),
    ]
    kfp_client.list_runs.return_value = V2beta1ListRunsResponse(runs=runs)
    kfp_client.get_run.side_effect = lambda run_id: V2beta1Run(
        run_details=V2beta1RunDetails(task_details=details if run_id[0] == "b" else None)
    )
    assert kubeflow("runs", "--limit", "5") == 0
    _, pending, failed, succeeded = capsys.readouterr().out.splitlines()
    assert pending.split() == ["c" * 36, "2026-11-23", "12:30", "PENDING"]
    assert failed.split() == ["b" * 36, "2026-11-23", "12:30", "FAILED", "trainer,", "pusher"]
    assert succeeded.split() == ["a" * 36, "2026-11-23", "12:30", "SUCCEEDED"]
    assert kfp_client.list_runs.call_args.kwargs["page_size"] == 5


def test_logs_are_printed_pod_by_pod(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(logs, "read", lambda *arguments: calls.append(arguments) or [("a", "one"), ("b", "two")])
    assert kubeflow("logs", "run-1") == 0
    assert capsys.readouterr().out == "==> a\none\n==> b\ntwo\n"
    assert kubeflow("logs", "run-1", "Trainer", "--namespace", "mine", "--log-dir", "/logs") == 0
    assert calls == [("kubeflow", "run-1", None, None), ("mine", "run-1", "Trainer", "/logs")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--param", "trainer.epochs"], "--param trainer.epochs: write KEY=VALUE"),
        (["run", "--param", "trainer.seed=3"], "unknown parameter trainer_seed"),
        (["run", "--param", "trainer.epochs=0"], "trainer.epochs: "),
        (["run", "--param", "data.max_images=-5"], "data.max_images: "),
        (["schedule", "--cron", "0 3 * * *", "--param", "evaluator.min_bleu_4=65"], "evaluator.min_bleu_4: "),
        (["run", "--set", "trainer.epoch=3"], "unknown key trainer.epoch"),
        (["run", "--param", "data.dir=/elsewhere"], "data.dir: /elsewhere is not on the steps' volume"),
        (["run", "--set", "root=/elsewhere"], "root: /elsewhere is not on the steps' volume"),
        (["compile", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["compile", "--output", "p.txt"], "--output p.txt: must end with .yaml or .yml"),
        (["compile", "--target", "vertex"], "root: Vertex AI's steps only share Google Cloud Storage"),
        (["schedule", "--cron", "0 3 * *"], "--cron '0 3 * *'"),
        (["schedule", "--cron", "0 3 30 2 *"], "--cron '0 3 30 2 *': the time never occurs"),
        (["schedule", "--cron", "0 3 * * *", "--time-zone", "Mars"], "--time-zone Mars"),
        (["schedule", "--cron", "0 3 * * *", "--param", "x=1"], "unknown parameter x"),
    ],
)
def test_an_invalid_command_is_one_line_and_starts_nothing(kfp_client, capsys, arguments, message):
    assert error_of(capsys, *arguments).startswith(message)
    kfp_client.create_run_from_pipeline_package.assert_not_called()
    kfp_client.create_recurring_run.assert_not_called()


def test_an_unreachable_server_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(kfp, "Client", mock.Mock(side_effect=RuntimeError("refused")))
    error = error_of(capsys, "runs", "--host", "http://kfp")
    assert error == "server unreachable: no Kubeflow Pipelines at http://kfp (refused)"


@pytest.mark.parametrize(
    ("error", "arguments"),
    [(ServerError("of the server"), ["run"]), (logs.LogsNotFound("of the logs"), ["logs", "run-1"])],
)
def test_errors_of_server_and_logs_are_one_line(kfp_client, monkeypatch, capsys, error, arguments):
    monkeypatch.setattr(server.Server, "submit", mock.Mock(side_effect=error))
    monkeypatch.setattr(logs, "read", mock.Mock(side_effect=error))
    assert error_of(capsys, *arguments) == str(error)
