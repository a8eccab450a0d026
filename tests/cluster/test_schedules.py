"""Schedules: their creation from five fields, and the runs that they start."""

from tests.cluster.conftest import NODES, PARAMETERS


def schedules(cluster) -> list:
    return list(cluster.server.schedules())


def schedule(cluster, *arguments: str) -> str:
    return cluster.client("schedule", "--config", str(cluster.config), *arguments)


def test_scheduling_again_replaces_the_schedule(cluster, first_run):
    printed = schedule(cluster, "--name", "nightly", "--cron", "0 3 * * *", "--param", "trainer.epochs=2")
    assert "KFP: 0 0 3 * * *" in printed and printed.count("03:00 UTC") == 3
    [before] = schedules(cluster)
    schedule(cluster, "--name", "nightly", "--cron", "30 4 * * 7")
    [after] = schedules(cluster)
    assert after.recurring_run_id != before.recurring_run_id
    assert after.trigger.cron_schedule.cron == "0 30 4 * * 0"
    assert (int(after.max_concurrency), after.no_catchup) == (1, True)


def test_a_schedule_is_paused_resumed_and_deleted(cluster, first_run):
    schedule(cluster, "--name", "weekly", "--cron", "0 3 * * 1")

    def status() -> str:
        return next(item.status for item in schedules(cluster) if item.display_name == "weekly")

    assert status() == "ENABLED"
    schedule(cluster, "--name", "weekly", "--pause")
    assert status() == "DISABLED"
    schedule(cluster, "--name", "weekly", "--resume")
    assert status() == "ENABLED"
    assert "weekly" in schedule(cluster, "--list")
    schedule(cluster, "--name", "weekly", "--delete")
    assert "weekly" not in schedule(cluster, "--list")
    assert "no schedule weekly" in cluster.client(
        "schedule", "--config", str(cluster.config), "--name", "weekly", "--pause", status=2
    )


def test_scheduled_runs_only_extract_new_images(cluster, first_run):
    # every minute, but only after the previous run has finished
    known = {run.run_id for run in cluster.server.runs(100)}
    num_features = cluster.num_features()

    def new_runs() -> list[str]:
        return [run.run_id for run in cluster.server.runs(100) if run.run_id not in known]

    schedule(cluster, "--name", "often", "--cron", "* * * * *", "--param", *PARAMETERS)
    try:
        cluster.wait_until(new_runs, "the first run", 300)
        [run_id] = new_runs()
        assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
        known.add(run_id)
        cluster.write_data(61)
        cached = {step for step, states in cluster.states(run_id).items() if states == ["cached"]}
        # these look for a newer baseline
        assert cached >= NODES - {"LatestBlessedModel", "BleuEvaluator", "Pusher", "Report"}
        assert cluster.num_features() == num_features
        cluster.wait_until(new_runs, "the second run", 300)
        schedule(cluster, "--name", "often", "--pause")
        next_run_id = new_runs()[-1]
        assert cluster.wait(next_run_id) == "SUCCEEDED", cluster.logs(next_run_id)
        assert cluster.states(next_run_id)["FeatureExtractor"] == ["complete"]
        assert cluster.num_features() == num_features + 1
    finally:
        schedule(cluster, "--name", "often", "--delete")
