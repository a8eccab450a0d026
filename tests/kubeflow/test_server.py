"""A mock with its signatures replaces KFP's client; tests/cluster uses a real server."""

from unittest import mock

import kfp
import pytest
import urllib3
from captions_kubeflow import server
from captions_kubeflow.server import Server, ServerError, step_states
from kfp_server_api import (
    ApiException,
    V2beta1Experiment,
    V2beta1ListRecurringRunsResponse,
    V2beta1ListRunsResponse,
    V2beta1PipelineTaskDetail,
    V2beta1RecurringRun,
    V2beta1Run,
    V2beta1RunDetails,
)


@pytest.fixture
def client() -> mock.Mock:
    fake = mock.create_autospec(kfp.Client, instance=True)
    fake.create_experiment.side_effect = lambda name: (
        print("a link") or V2beta1Experiment(experiment_id=f"id of {name}")
    )
    fake.list_recurring_runs.return_value = V2beta1ListRecurringRunsResponse()
    return fake


@pytest.fixture
def kfp_server(client) -> Server:
    return Server(client, "captions")


def schedules(*pages: list[tuple[str, str]]) -> list[V2beta1ListRecurringRunsResponse]:
    """Pages of (id, name), as the server returns them."""
    return [
        V2beta1ListRecurringRunsResponse(
            recurring_runs=[V2beta1RecurringRun(recurring_run_id=i, display_name=name) for i, name in page] or None,
            next_page_token=f"page {number}" if number < len(pages) else None,
        )
        for number, page in enumerate(pages, 1)
    ]


def rejection(body: str | None = '{"error": "e", "code": 3, "message": "there is no such thing"}') -> ApiException:
    error = ApiException(status=400, reason="Bad Request")
    error.body = body
    return error


def test_connecting_names_host_and_experiment(monkeypatch):
    monkeypatch.setattr(kfp, "Client", mock.Mock(return_value="client"))
    assert Server.connect("http://kfp:8888", "captions") == Server("client", "captions")
    kfp.Client.assert_called_once_with(host="http://kfp:8888")


@pytest.mark.parametrize(
    ("host", "error", "message"),
    [
        (
            "http://kfp",
            RuntimeError("refused\nmore"),
            "no Kubeflow Pipelines at http://kfp (refused)",
        ),
        (None, RuntimeError(), "no Kubeflow Pipelines at the default address (RuntimeError)"),
    ],
)
def test_an_unreachable_server_is_named(monkeypatch, host, error, message):
    monkeypatch.setattr(kfp, "Client", mock.Mock(side_effect=error))
    with pytest.raises(ServerError) as caught:
        Server.connect(host, "captions")
    assert str(caught.value) == f"server unreachable: {message}"


def test_a_run_is_submitted_uncached_and_silently(kfp_server, client, capsys):
    def start(*arguments, **options):
        print("a link for notebooks")
        return mock.Mock(run_id="run-1")

    client.create_run_from_pipeline_package.side_effect = start
    assert kfp_server.submit("p.yaml", "nightly", {"trainer_epochs": 3}) == "run-1"
    client.create_run_from_pipeline_package.assert_called_once_with(
        "p.yaml",
        arguments={"trainer_epochs": 3},
        run_name="nightly",
        experiment_name="captions",
        enable_caching=False,
        service_account=None,
    )
    assert capsys.readouterr().out == ""


def test_runs_and_schedules_have_the_service_account_of_the_steps(client):
    client.create_run_from_pipeline_package.return_value = mock.Mock(run_id="run-1")
    client.create_recurring_run.return_value = V2beta1RecurringRun(recurring_run_id="new")
    client.list_recurring_runs.side_effect = schedules([])
    own = Server(client, "captions", "captions-steps")
    own.submit("p.yaml", "nightly", {})
    own.schedule("p.yaml", "nightly", "0 0 3 * * *", {})
    for [call] in (client.create_run_from_pipeline_package.mock_calls, client.create_recurring_run.mock_calls):
        assert call.kwargs["service_account"] == "captions-steps"


@pytest.fixture
def clock(monkeypatch) -> mock.Mock:
    """A clock that sleeping advances."""
    fake = mock.Mock(now=0.0)
    fake.monotonic.side_effect = lambda: fake.now
    fake.sleep.side_effect = lambda seconds: setattr(fake, "now", fake.now + seconds)
    monkeypatch.setattr(server, "time", fake)
    return fake


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"])
def test_wait_returns_the_finished_run(kfp_server, client, clock, state):
    client.get_run.side_effect = [V2beta1Run(state=name) for name in (None, "PENDING", "RUNNING", "CANCELING", state)]
    assert kfp_server.wait("run-1", 60).state == state
    assert clock.sleep.call_count == 4
    client.get_run.assert_called_with("run-1")


def test_wait_times_out(kfp_server, client, clock):
    client.get_run.return_value = V2beta1Run(state="RUNNING")
    with pytest.raises(TimeoutError, match="run run-1 is still running after 7 s"):
        kfp_server.wait("run-1", 7)
    assert 7 <= clock.now < 10


UNAVAILABLE = [urllib3.exceptions.HTTPError("gone"), ApiException(status=502, reason="Bad Gateway")]


def test_wait_survives_an_outage_of_the_server(kfp_server, client, clock):
    client.get_run.side_effect = [V2beta1Run(state="RUNNING"), *UNAVAILABLE * 20, V2beta1Run(state="SUCCEEDED")]
    assert kfp_server.wait("run-1", 3600).state == "SUCCEEDED"


@pytest.mark.parametrize("error", UNAVAILABLE)
def test_wait_ends_if_the_server_stays_unavailable(kfp_server, client, clock, error):
    client.get_run.side_effect = error
    with pytest.raises(ServerError, match=r"^run run-1: .*; the run may still be running$"):
        kfp_server.wait("run-1", 3600)
    assert 300 <= clock.now < 310


def test_wait_returns_at_once_for_a_finished_run(kfp_server, client, clock):
    client.get_run.return_value = V2beta1Run(state="SUCCEEDED")
    assert kfp_server.wait("run-1", 0).state == "SUCCEEDED"
    assert clock.now == 0


def test_an_unknown_run_is_named(kfp_server, client):
    client.get_run.return_value = V2beta1Run(run_id="run-1")
    assert kfp_server.run("run-1").run_id == "run-1"
    client.get_run.side_effect = rejection()
    with pytest.raises(ServerError, match=r"^run run-1: Kubeflow Pipelines rejected .*: there is no such thing$"):
        kfp_server.run("run-1")


def test_the_newest_runs_come_first(kfp_server, client, capsys):
    client.list_runs.return_value = V2beta1ListRunsResponse(runs=[V2beta1Run(run_id="b"), V2beta1Run(run_id="a")])
    assert [run.run_id for run in kfp_server.runs(7)] == ["b", "a"]
    client.list_runs.assert_called_once_with(page_size=7, sort_by="created_at desc", experiment_id="id of captions")
    assert capsys.readouterr().out == ""


def test_runs_and_schedules_may_be_empty(kfp_server, client):
    client.list_runs.return_value = V2beta1ListRunsResponse()
    assert kfp_server.runs(7) == []
    assert list(kfp_server.schedules()) == []


def test_all_pages_of_schedules_are_read(kfp_server, client):
    client.list_recurring_runs.side_effect = schedules([("1", "a"), ("2", "b")], [], [("3", "c")])
    assert [schedule.recurring_run_id for schedule in kfp_server.schedules()] == ["1", "2", "3"]
    tokens = [call.kwargs["page_token"] for call in client.list_recurring_runs.call_args_list]
    assert tokens == ["", "page 1", "page 2"]
    assert {call.kwargs["experiment_id"] for call in client.list_recurring_runs.call_args_list} == {"id of captions"}


def test_a_schedule_runs_one_at_a_time_without_catching_up(kfp_server, client):
    client.create_recurring_run.return_value = V2beta1RecurringRun(recurring_run_id="new")
    assert kfp_server.schedule("p.yaml", "nightly", "0 0 3 * * *", {"trainer_epochs": 3}) == "new"
    client.create_recurring_run.assert_called_once_with(
        experiment_id="id of captions",
        job_name="nightly",
        cron_expression="0 0 3 * * *",
        max_concurrency=1,
        no_catchup=True,
        params={"trainer_epochs": 3},
        pipeline_package_path="p.yaml",
        enable_caching=False,
        service_account=None,
    )
    client.delete_recurring_run.assert_not_called()


def test_a_new_schedule_replaces_those_of_its_name(kfp_server, client):
    client.list_runs.return_value = V2beta1ListRunsResponse()
    client.list_recurring_runs.side_effect = schedules([("1", "nightly"), ("2", "weekly")], [("3", "nightly")])
    client.create_recurring_run.return_value = V2beta1RecurringRun(recurring_run_id="4")
    assert kfp_server.schedule("p.yaml", "nightly", "0 0 3 * * *", {}) == "4"
    changes = [call for call in client.method_calls if call[0] in ("create_recurring_run", "delete_recurring_run")]
    assert [change[0] for change in changes] == ["create_recurring_run", *["delete_recurring_run"] * 2]
    assert [change.args for change in changes[1:]] == [("1",), ("3",)]


@pytest.mark.parametrize(
    ("state", "schedule", "is_rejected"), [("RUNNING", "1", True), ("RUNNING", "2", False), ("FAILED", "1", False)]
)
def test_a_schedule_with_a_run_in_progress_is_not_replaced(kfp_server, client, state, schedule, is_rejected):
    client.list_recurring_runs.side_effect = schedules([("1", "nightly"), ("2", "weekly")])
    run = V2beta1Run(run_id="run-1", state=state, recurring_run_id=schedule)
    client.list_runs.return_value = V2beta1ListRunsResponse(runs=[run])
    if not is_rejected:
        kfp_server.schedule("p.yaml", "nightly", "0 0 3 * * *", {})
        client.delete_recurring_run.assert_called_once_with("1")
        return
    with pytest.raises(ServerError, match="nightly: its run run-1 is still running"):
        kfp_server.schedule("p.yaml", "nightly", "0 0 3 * * *", {})
    client.create_recurring_run.assert_not_called()


def test_the_old_schedule_stays_if_the_new_one_is_rejected(kfp_server, client):
    client.list_recurring_runs.side_effect = schedules([("1", "nightly")])
    client.list_runs.return_value = V2beta1ListRunsResponse()
    client.create_recurring_run.side_effect = rejection()
    with pytest.raises(ServerError, match="rejected the request: there is no such thing"):
        kfp_server.schedule("p.yaml", "nightly", "bad", {})
    client.delete_recurring_run.assert_not_called()


@pytest.mark.parametrize(
    ("action", "method"),
    [("pause", "disable_recurring_run"), ("resume", "enable_recurring_run"), ("delete", "delete_recurring_run")],
)
def test_only_schedules_of_the_name_are_changed(kfp_server, client, action, method):
    client.list_recurring_runs.side_effect = schedules([("1", "nightly"), ("2", "weekly"), ("3", "nightly")], [])
    assert kfp_server.change_schedule("nightly", action) == 2
    changes = [call for call in client.method_calls if "list" not in call[0] and call[0] != "create_experiment"]
    assert changes == [getattr(mock.call, method)("1"), getattr(mock.call, method)("3")]


def test_no_schedule_of_an_unknown_name_is_changed(kfp_server, client):
    client.list_recurring_runs.side_effect = schedules([("2", "weekly")])
    assert kfp_server.change_schedule("nightly", "delete") == 0
    client.delete_recurring_run.assert_not_called()


CALLS = {
    "create_run_from_pipeline_package": lambda kfp_server: kfp_server.submit("p.yaml", "n", {}),
    "get_run": lambda kfp_server: kfp_server.run("run-1"),
    "list_runs": lambda kfp_server: kfp_server.runs(3),
    "list_recurring_runs": lambda kfp_server: list(kfp_server.schedules()),
    "create_recurring_run": lambda kfp_server: kfp_server.schedule("p.yaml", "n", "* * * * * *", {}),
    "create_experiment": lambda kfp_server: kfp_server.change_schedule("n", "pause"),
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (rejection(), "rejected the request: there is no such thing"),
        (rejection("<html>"), "rejected the request: Bad Request"),
        (rejection(None), "rejected the request: Bad Request"),
        (urllib3.exceptions.HTTPError("gone away"), r"no response from Kubeflow Pipelines \(gone away\)"),
    ],
)
def test_a_rejected_request_is_one_line(kfp_server, client, method, error, message):
    getattr(client, method).side_effect = error
    with pytest.raises(ServerError, match=message) as caught:
        CALLS[method](kfp_server)
    assert len(str(caught.value).splitlines()) == 1


def test_only_steps_have_states():
    states = {
        "root": "RUNNING",
        "root-driver": "SUCCEEDED",
        "trainer": "FAILED",
        "trainer-driver": "SUCCEEDED",
        "pusher": None,
        "pusher-driver": "SKIPPED",
        "executor": "SUCCEEDED",
    }
    details = [V2beta1PipelineTaskDetail(display_name=name, state=state) for name, state in states.items()]
    run = V2beta1Run(run_details=V2beta1RunDetails(task_details=details))
    assert step_states(run) == {"trainer": "FAILED", "pusher": ""}


@pytest.mark.parametrize("details", [None, V2beta1RunDetails()])
def test_a_run_that_has_not_started_has_no_steps(details):
    assert step_states(V2beta1Run(run_details=details)) == {}
