"""Requests to the server of Kubeflow Pipelines."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import kfp
import urllib3
from kfp_server_api import ApiException, V2beta1RecurringRun, V2beta1Run

from pipeline.errors import UserError

PAGE_SIZE = 100
POLL_INTERVAL = 2.0  # seconds
FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
RETRY_TIMEOUT = 300.0  # maximum seconds without a response while waiting for a run


class ServerError(UserError):
    """The server is unreachable, or rejected a request; the message says which."""


class ServerUnavailable(ServerError):
    """The server does not respond now, but may later."""


@contextlib.contextmanager
def _server_errors() -> Iterator[None]:
    """Turns rejected requests and missing responses into a `ServerError` of one line."""
    try:
        yield
    except ApiException as error:
        try:
            cause = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            cause = error.reason
        kind = ServerUnavailable if (error.status or 0) >= 500 else ServerError
        raise kind(f"Kubeflow Pipelines rejected the request: {cause}") from None
    except urllib3.exceptions.HTTPError as error:
        raise ServerUnavailable(f"no response from Kubeflow Pipelines ({error})") from None


@dataclasses.dataclass(frozen=True)
class Server:
    """A server, and the experiment on it that contains the pipeline's runs.

    Attributes:
      client: KFP's own client.
      experiment: name of the experiment.
      service_account: Kubernetes service account of the steps; None for that of Kubeflow Pipelines.
    """

    client: kfp.Client
    experiment: str
    service_account: str | None = None

    @classmethod
    def connect(cls, host: str | None, experiment: str, service_account: str | None = None) -> "Server":
        """Connects to a server.

        Args:
          host: address of the server; None for KFP's own rules (its settings, or a port forward into the cluster).
          experiment: name of the experiment, which is created if it does not exist.
          service_account: see above.

        Raises:
          ServerError: there is no response.
        """
        try:
            return cls(kfp.Client(host=host), experiment, service_account)
        except Exception as error:  # urllib3's, kubernetes' or KFP's own
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            place = host or "the default address"
            raise ServerError(f"server unreachable: no Kubeflow Pipelines at {place} ({cause})") from None

    @_server_errors()
    def submit(self, package: str, name: str, arguments: Mapping[str, Any]) -> str:
        """Starts a run of a compiled pipeline, and returns the run's ID."""
        with contextlib.redirect_stdout(None):  # KFP prints links for notebooks
            run = self.client.create_run_from_pipeline_package(
                package,
                arguments=dict(arguments),
                run_name=name,
                experiment_name=self.experiment,
                enable_caching=False,
                service_account=self.service_account,
            )
        return run.run_id

    def wait(self, run_id: str, seconds: int) -> V2beta1Run:
        """Waits until a run has finished, also if the server is unavailable for some minutes.

        Raises:
          TimeoutError: the run is still running.
          ServerError: the server is unavailable for longer, or rejected the request.
        """
        end = time.monotonic() + seconds
        last_response = time.monotonic()
        while True:  # KFP's own wait does not notice that a run was canceled
            try:
                run = self.run(run_id)
                if run.state in FINISHED:
                    return run
                last_response = time.monotonic()
            except ServerUnavailable as error:
                if time.monotonic() - last_response >= RETRY_TIMEOUT:
                    raise ServerError(f"{error}; the run may still be running") from None
            if time.monotonic() >= end:
                raise TimeoutError(f"run {run_id} is still running after {seconds} s")
            time.sleep(POLL_INTERVAL)

    def run(self, run_id: str) -> V2beta1Run:
        """Returns a run with its steps.

        Raises:
          ServerError: there is no such run.
        """
        try:
            with _server_errors():
                return self.client.get_run(run_id)
        except ServerError as error:
            raise type(error)(f"run {run_id}: {error}") from None

    @_server_errors()
    def runs(self, limit: int) -> list[V2beta1Run]:
        """Returns the last runs, the newest first."""
        page = self.client.list_runs(page_size=limit, sort_by="created_at desc", experiment_id=self._experiment_id())
        return list(page.runs or [])

    def schedules(self) -> Iterator[V2beta1RecurringRun]:
        """Yields the recurring runs of the experiment."""
        with _server_errors():
            experiment_id, token = self._experiment_id(), ""
            while True:
                page = self.client.list_recurring_runs(
                    page_token=token, page_size=PAGE_SIZE, experiment_id=experiment_id
                )
                yield from page.recurring_runs or []
                token = page.next_page_token
                if not token:
                    return

    @_server_errors()
    def schedule(self, package: str, name: str, cron: str, arguments: Mapping[str, Any]) -> str:
        """Creates the recurring run of a name, or replaces it.

        KFP can't change one. The new one is created before the old one is deleted, so that there is always one.

        Args:
          package: path of the compiled pipeline.
          name: name of the recurring run.
          cron: cron expression of six fields.
          arguments: parameter -> value.

        Returns:
          the ID of the recurring run.

        Raises:
          ServerError: a run of the old one is still running, which Kubernetes would delete with it.
        """
        replaced = [schedule.recurring_run_id for schedule in self.schedules() if schedule.display_name == name]
        for run in self.runs(PAGE_SIZE) if replaced else []:
            if run.recurring_run_id in replaced and run.state not in FINISHED:
                raise ServerError(
                    f"{name}: its run {run.run_id} is still running, and replacing the schedule would stop it; wait, "
                    "or --delete the schedule first, which stops the run"
                )
        created = self.client.create_recurring_run(
            experiment_id=self._experiment_id(),
            job_name=name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=dict(arguments),
            pipeline_package_path=package,
            enable_caching=False,
            service_account=self.service_account,
        )
        for recurring_run_id in replaced:
            self.client.delete_recurring_run(recurring_run_id)
        return created.recurring_run_id

    @_server_errors()
    def change_schedule(self, name: str, action: str) -> int:
        """Pauses, resumes or deletes the recurring run of a name.

        Args:
          name: name of the recurring run.
          action: "pause", "resume" or "delete".

        Returns:
          the number of recurring runs of that name.
        """
        actions = {
            "pause": self.client.disable_recurring_run,
            "resume": self.client.enable_recurring_run,
            "delete": self.client.delete_recurring_run,
        }
        ids = [schedule.recurring_run_id for schedule in self.schedules() if schedule.display_name == name]
        for recurring_run_id in ids:
            actions[action](recurring_run_id)
        return len(ids)

    def _experiment_id(self) -> str:
        with contextlib.redirect_stdout(None):
            return self.client.create_experiment(self.experiment).experiment_id


def step_states(run: V2beta1Run) -> dict[str, str]:
    """Returns the states of a run's steps: step, as KFP writes its name -> state; "" before it has started.

    KFP lists its own tasks among them: a step is a task that has a driver.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    states = {task.display_name: task.state or "" for task in details}
    return {name: states[name] for name in states if f"{name}-driver" in states and name != "root"}
