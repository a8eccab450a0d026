"""The command line. A fake stands in for KFP's client; the real server is tested in tests/cluster."""

import argparse
import datetime
import json
import logging
import pathlib
import subprocess
import sys
from unittest import mock

import kfp
import pytest
import yaml
from captions_kubeflow import client, logs, server
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

from tests.material import ROOT

PARSED = """
import sys
from captions_kubeflow import client
client._parser()
print(*sorted({name.split('.')[0] for name in sys.modules}))
"""


@pytest.fixture(autouse=True)
def _the_process_stays_as_it_was(monkeypatch):
    monkeypatch.delenv("KFP_HOST", raising=False)
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def kfp_client(monkeypatch) -> mock.Mock:
    """KFP's client, as `Server.connect` makes it; `compiled` is what it was given to read."""
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


def refused(capsys, *arguments: str) -> str:
    """What is said in one line when nothing could be done."""
    assert client.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("caption-kubeflow: ")
    return line.removeprefix("caption-kubeflow: ")


def test_nothing_heavy_is_loaded_before_it_is_needed():
    out = subprocess.run([sys.executable, "-c", PARSED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    heavy = {"tensorflow", "tfx", "kfp", "kubernetes", "croniter", "pydantic", "yaml", "rich", "apache_beam"}
    assert not set(out.split()) & heavy


@pytest.mark.parametrize("command", [[], ["compile"], ["run"], ["schedule"], ["runs"], ["logs"]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as exit_status:
        client.main([*command, "--help"])
    assert exit_status.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: {' '.join(['caption-kubeflow', *command])} " in out
    if not command:
        assert '--cron "0 3 * * *"' in out


@pytest.mark.parametrize(
    "arguments",
    [[], ["compile", "--target", "airflow"], ["schedule"], ["schedule", "--pause", "--cron", "0 3 * * *"], ["logs"]],
)
def test_what_makes_no_sense_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_status:
        client.main(arguments)
    assert exit_status.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_compile_writes_the_pipeline_and_names_the_parameters(tmp_path, capsys):
    path = tmp_path / "p.yaml"
    assert client.main(["compile", "--output", str(path), "--set", "trainer.epochs=4", "kubeflow.image=r/i:7"]) == 0
    first, *parameters = capsys.readouterr().out.splitlines()
    assert first == f"{path}: for Kubeflow Pipelines, image r/i:7; parameters:"
    assert "  trainer_epochs = 4" in parameters and "  feature_extractor_weights = 'random'" in parameters
    assert next(yaml.safe_load_all(path.read_text()))["pipelineInfo"]["name"] == "sample"


def test_the_file_has_the_pipelines_name(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert client.main(["compile", "--set", "name=mine"]) == 0
    assert client.main(["compile", "--set", "name=mine", "root=gs://bucket/x", "--target", "vertex"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "mine.json: for Vertex AI Pipelines"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.yaml"]
    assert json.loads((tmp_path / "mine.json").read_text())


def test_a_run_is_compiled_and_started(kfp_client, capsys, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("name: mine\ntrainer: {epochs: 9}\n")
    arguments = ["run", "--config", str(config), "--param", "trainer.epochs=3", "data.dir=/captions/d"]
    assert client.main(arguments) == 0
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
def test_the_host_is_given_or_the_environments(kfp_client, monkeypatch, arguments, environment, host):
    if environment:
        monkeypatch.setenv("KFP_HOST", environment)
    assert client.main(["schedule", "--list", *arguments]) == 0
    kfp.Client.assert_called_once_with(host=host)


@pytest.mark.parametrize(("state", "status"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1), ("SKIPPED", 1)])
def test_waiting_tells_how_the_run_ended(kfp_client, capsys, state, status):
    kfp_client.get_run.return_value = V2beta1Run(state=state)
    assert client.main(["run", "--wait"]) == status
    assert capsys.readouterr().out == f"run-1\n{state}\n"


def test_a_run_that_does_not_end_in_time_is_said(kfp_client, capsys):
    kfp_client.get_run.return_value = V2beta1Run(state="RUNNING")
    assert client.main(["run", "--wait", "--timeout", "0"]) == 2
    said = capsys.readouterr()
    assert said.out == "run-1\n"
    assert said.err == "caption-kubeflow: run run-1 has not ended within 0 s; it goes on\n"


def test_a_wait_is_a_day_unless_told_otherwise(kfp_client, monkeypatch):
    waits = []
    monkeypatch.setattr(Server, "wait", lambda made, run, seconds: waits.append(seconds) or mock.Mock(state="FAILED"))
    client.main(["run", "--wait"])
    client.main(["run", "--wait", "--timeout", "60"])
    assert waits == [86400, 60]


@pytest.fixture
def clock(monkeypatch):
    """It is Monday, the 23rd of November 2026, noon in UTC."""
    from captions_kubeflow import cron

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc).astimezone(tz)

    monkeypatch.setattr(cron, "datetime", argparse.Namespace(datetime=Frozen))


def test_a_schedule_is_made_and_its_next_runs_are_told(kfp_client, capsys, clock):
    arguments = ["--name", "nightly", "--cron", "0 3 * * 7", "--time-zone", "Europe/Berlin"]
    assert client.main(["schedule", *arguments, "--param", "trainer.epochs=3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "nightly: 0 3 * * 7 (KFP: 0 0 3 * * 0), schedule-1; the next runs, if the server's clock is Europe/Berlin:",
        "  Sunday 2026-11-29 03:00 CET",
        "  Sunday 2026-12-06 03:00 CET",
        "  Sunday 2026-12-13 03:00 CET",
    ]
    [call] = kfp_client.create_recurring_run.mock_calls
    assert (call.kwargs["job_name"], call.kwargs["cron_expression"]) == ("nightly", "0 0 3 * * 0")
    assert call.kwargs["params"] == {"trainer_epochs": 3}
    assert len(kfp_client.compiled) == 1


def test_a_schedule_has_the_pipelines_name_and_the_clock_is_utc(kfp_client, capsys, clock):
    assert client.main(["schedule", "--set", "name=mine", "--cron", "0 3 * * *"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine: 0 3 * * *") and "Tuesday 2026-11-24 03:00 UTC" in out
    assert kfp_client.create_recurring_run.mock_calls[0].kwargs["job_name"] == "mine"


@pytest.mark.parametrize(
    ("action", "method", "said"),
    [
        ("--pause", "disable_recurring_run", "nightly: paused"),
        ("--resume", "enable_recurring_run", "nightly: resumed"),
        ("--delete", "delete_recurring_run", "nightly: deleted"),
    ],
)
def test_a_schedule_is_changed_by_its_name(kfp_client, capsys, action, method, said):
    kfp_client.list_recurring_runs.return_value.recurring_runs = [
        V2beta1RecurringRun(recurring_run_id="7", display_name="nightly")
    ]
    assert client.main(["schedule", "--name", "nightly", action]) == 0
    assert capsys.readouterr().out == f"{said}\n"
    getattr(kfp_client, method).assert_called_once_with("7")
    assert refused(capsys, "schedule", "--name", "weekly", action) == "no schedule weekly; see --list"


def test_schedules_are_listed(kfp_client, capsys):
    trigger = V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron="0 0 3 * * *"))
    kfp_client.list_recurring_runs.return_value.recurring_runs = [
        V2beta1RecurringRun(recurring_run_id="7", display_name="nightly", status="ENABLED", trigger=trigger),
        V2beta1RecurringRun(recurring_run_id="8", display_name="by hand", status="DISABLED"),
    ]
    assert client.main(["schedule", "--list"]) == 0
    _, nightly, other = capsys.readouterr().out.splitlines()
    assert nightly.split() == ["nightly", "ENABLED", "0", "0", "3", "*", "*", "*", "7"]
    assert other.split() == ["by", "hand", "DISABLED", "8"]


def test_runs_are_listed_with_what_failed(kfp_client, capsys):
    created = datetime.datetime(2026, 11, 23, 12, 30)
    states = {"trainer": "FAILED", "pusher": "FAILED", "captioningest": "SUCCEEDED"}
    details = [V2beta1PipelineTaskDetail(display_name=name, state=state) for name, state in states.items()]
    details += [V2beta1PipelineTaskDetail(display_name=f"{name}-driver", state="SUCCEEDED") for name in states]
    found = [
        V2beta1Run(run_id="c" * 36, state=None, created_at=created),
        V2beta1Run(run_id="b" * 36, state="FAILED", created_at=created),
        V2beta1Run(run_id="a" * 36, state="SUCCEEDED", created_at=created),
    ]
    kfp_client.list_runs.return_value = V2beta1ListRunsResponse(runs=found)
    kfp_client.get_run.side_effect = lambda run_id: V2beta1Run(
        run_details=V2beta1RunDetails(task_details=details if run_id[0] == "b" else None)
    )
    assert client.main(["runs", "--limit", "5"]) == 0
    _, pending, failed, succeeded = capsys.readouterr().out.splitlines()
    assert pending.split() == ["c" * 36, "2026-11-23", "12:30", "PENDING"]
    assert failed.split() == ["b" * 36, "2026-11-23", "12:30", "FAILED", "trainer,", "pusher"]
    assert succeeded.split() == ["a" * 36, "2026-11-23", "12:30", "SUCCEEDED"]
    assert kfp_client.list_runs.call_args.kwargs["page_size"] == 5


def test_logs_are_printed_pod_by_pod(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(logs, "read", lambda *arguments: asked.append(arguments) or [("a", "one"), ("b", "two")])
    assert client.main(["logs", "run-1"]) == 0
    assert capsys.readouterr().out == "==> a\none\n==> b\ntwo\n"
    assert client.main(["logs", "run-1", "Trainer", "--namespace", "mine", "--log-dir", "/logs"]) == 0
    assert asked == [("kubeflow", "run-1", None, None), ("mine", "run-1", "Trainer", "/logs")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--param", "trainer.epochs"], "--param trainer.epochs: write KEY=VALUE"),
        (["run", "--param", "trainer.heads=3"], "no parameter trainer_heads"),
        (["run", "--param", "trainer.epochs=0"], "trainer.epochs: "),
        (["run", "--param", "data.limit=-5"], "data.limit: "),
        (["schedule", "--cron", "0 3 * * *", "--param", "evaluator.min_bleu_4=65"], "evaluator.min_bleu_4: "),
        (["run", "--set", "trainer.epoch=3"], "unknown key trainer.epoch"),
        (["run", "--set", "root=/elsewhere"], "root: /elsewhere is not on the steps' volume"),
        (["compile", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["compile", "--target", "vertex"], "root: Vertex AI's steps share nothing but Google Cloud Storage"),
        (["schedule", "--cron", "0 3 * *"], "--cron '0 3 * *'"),
        (["schedule", "--cron", "0 3 30 2 *"], "--cron '0 3 30 2 *': there is no such time"),
        (["schedule", "--cron", "0 3 * * *", "--time-zone", "Mars"], "--time-zone Mars"),
        (["schedule", "--cron", "0 3 * * *", "--param", "x=1"], "no parameter x"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_nothing_is_started(kfp_client, capsys, arguments, message):
    assert refused(capsys, *arguments).startswith(message)
    kfp_client.create_run_from_pipeline_package.assert_not_called()
    kfp_client.create_recurring_run.assert_not_called()


def test_a_server_that_does_not_answer_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(kfp, "Client", mock.Mock(side_effect=RuntimeError("refused")))
    said = refused(capsys, "runs", "--host", "http://nobody")
    assert said == "no Kubeflow Pipelines at http://nobody (refused)"


@pytest.mark.parametrize(
    ("error", "arguments"), [(ServerError("of the server"), ["run"]), (logs.NoLogs("of the logs"), ["logs", "run-1"])]
)
def test_refusals_on_the_way_are_one_line(kfp_client, monkeypatch, capsys, error, arguments):
    monkeypatch.setattr(server.Server, "submit", mock.Mock(side_effect=error))
    monkeypatch.setattr(logs, "read", mock.Mock(side_effect=error))
    assert refused(capsys, *arguments) == str(error)
