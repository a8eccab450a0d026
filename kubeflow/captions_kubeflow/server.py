"""What the client asks of Kubeflow Pipelines' server."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import kfp
import urllib3
from kfp_server_api import ApiException, V2beta1RecurringRun, V2beta1Run

PAGE = 100
PAUSE = 2.0  # seconds between two looks at a run
DONE = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


PATIENCE = 300.0  # seconds that the server may be away while a run is waited for


class ServerError(RuntimeError):
    """The server can't be reached, or refused; the message says what."""


class ServerAway(ServerError):
    """The server does not answer now; it may later."""


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Turns what the server refuses, and its absence, into a `ServerError`."""
    try:
        yield
    except ApiException as error:
        try:
            cause = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            cause = error.reason
        kind = ServerAway if (error.status or 0) >= 500 else ServerError
        raise kind(f"Kubeflow Pipelines refused: {cause}") from None
    except urllib3.exceptions.HTTPError as error:
        raise ServerAway(f"Kubeflow Pipelines did not answer ({error})") from None


@dataclasses.dataclass(frozen=True)
class Server:
    """A server and the experiment on it that holds the pipeline's runs.

    Attributes:
      client: KFP's own.
      experiment: its name.
    """

    client: kfp.Client
    experiment: str

    @classmethod
    def connect(cls, host: str | None, experiment: str) -> "Server":
        """Connects.

        Args:
          host: address; None for KFP's own rules (its settings, or a port forward into the cluster).
          experiment: made when it is not there.

        Raises:
          ServerError: nobody answers.
        """
        try:
            return cls(kfp.Client(host=host), experiment)
        except Exception as error:  # urllib3's, kubernetes' or KFP's own
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ServerError(f"no Kubeflow Pipelines at {host or 'the default address'} ({cause})") from None

    @_in_one_line()
    def submit(self, package: str, name: str, arguments: Mapping[str, Any]) -> str:
        """Starts a run; its id."""
        with contextlib.redirect_stdout(None):  # KFP prints links for notebooks
            run = self.client.create_run_from_pipeline_package(
                package,
                arguments=dict(arguments),
                run_name=name,
                experiment_name=self.experiment,
                enable_caching=False,
            )
        return run.run_id

    def wait(self, run_id: str, seconds: int) -> V2beta1Run:
        """Waits for the end of a run, also where the server is away for some minutes.

        Raises:
          TimeoutError: it has not ended by then.
          ServerError: the server is away for longer, or refuses.
        """
        end = time.monotonic() + seconds
        seen = time.monotonic()
        while True:  # KFP's own wait does not notice that a run was canceled
            try:
                run = self.run(run_id)
                if run.state in DONE:
                    return run
                seen = time.monotonic()
            except ServerAway as error:
                if time.monotonic() - seen >= PATIENCE:
                    raise ServerError(f"{error}; the run goes on") from None
            if time.monotonic() >= end:
                raise TimeoutError(f"run {run_id} has not ended within {seconds} s")
            time.sleep(PAUSE)

    def run(self, run_id: str) -> V2beta1Run:
        """A run with its steps.

        Raises:
          ServerError: there is no such run.
        """
        try:
            with _in_one_line():
                return self.client.get_run(run_id)
        except ServerError as error:
            raise type(error)(f"run {run_id}: {error}") from None

    @_in_one_line()
    def runs(self, limit: int) -> list[V2beta1Run]:
        """The last runs, the newest first."""
        found = self.client.list_runs(
            page_size=limit, sort_by="created_at desc", experiment_id=self._experiment_id()
        ).runs
        return list(found or [])

    def schedules(self) -> Iterator[V2beta1RecurringRun]:
        """The recurring runs of the experiment."""
        with _in_one_line():
            experiment_id, token = self._experiment_id(), ""
            while True:
                page = self.client.list_recurring_runs(page_token=token, page_size=PAGE, experiment_id=experiment_id)
                yield from page.recurring_runs or []
                token = page.next_page_token
                if not token:
                    return

    @_in_one_line()
    def schedule(self, package: str, name: str, cron: str, arguments: Mapping[str, Any]) -> str:
        """Creates the recurring run of a name, or replaces it.

        KFP can't change one. The new one stands before the old one goes, so that at no moment there is none.

        Args:
          package: the compiled pipeline.
          name: of the recurring run.
          cron: six fields.
          arguments: parameter -> value.

        Returns:
          its id.

        Raises:
          ServerError: a run of the old one goes on, which Kubernetes would end together with it.
        """
        old = [each.recurring_run_id for each in self.schedules() if each.display_name == name]
        for run in self.runs(PAGE) if old else []:
            if run.recurring_run_id in old and run.state not in DONE:
                raise ServerError(
                    f"{name}: its run {run.run_id} goes on, and replacing the schedule would end it; wait, or --delete "
                    "the schedule first, which ends the run"
                )
        made = self.client.create_recurring_run(
            experiment_id=self._experiment_id(),
            job_name=name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=dict(arguments),
            pipeline_package_path=package,
            enable_caching=False,
        )
        for each in old:
            self.client.delete_recurring_run(each)
        return made.recurring_run_id

    @_in_one_line()
    def change_schedule(self, name: str, action: str) -> int:
        """Pauses, resumes or deletes the recurring run of a name.

        Args:
          name: of the recurring run.
          action: "pause", "resume" or "delete".

        Returns:
          how many there were of that name.
        """
        actions = {
            "pause": self.client.disable_recurring_run,
            "resume": self.client.enable_recurring_run,
            "delete": self.client.delete_recurring_run,
        }
        found = [each.recurring_run_id for each in self.schedules() if each.display_name == name]
        for each in found:
            actions[action](each)
        return len(found)

    def _experiment_id(self) -> str:
        with contextlib.redirect_stdout(None):
            return self.client.create_experiment(self.experiment).experiment_id


def step_states(run: V2beta1Run) -> dict[str, str]:
    """The steps of a run and how far they are: name, as KFP writes it -> state; empty for what has not begun.

    KFP lists its own parts among them: a step is what has a driver.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    states = {task.display_name: task.state or "" for task in details}
    return {name: states[name] for name in states if f"{name}-driver" in states and name != "root"}
