"""Schedules: what the client makes of five fields, and runs that start by the clock."""

from tests.cluster.conftest import PARAMETERS, STEPS


def schedules(cluster) -> list:
    return list(cluster.server.schedules())


def schedule(cluster, *arguments: str) -> str:
    return cluster.client("schedule", "--config", str(cluster.config), *arguments)


def test_scheduled_twice_there_is_one(cluster, first):
    printed = schedule(cluster, "--name", "nightly", "--cron", "0 3 * * *", "--param", "trainer.epochs=2")
    assert "KFP: 0 0 3 * * *" in printed and printed.count("03:00 UTC") == 3
    [before] = schedules(cluster)
    schedule(cluster, "--name", "nightly", "--cron", "30 4 * * 7")
    [after] = schedules(cluster)
    assert after.recurring_run_id != before.recurring_run_id
    assert after.trigger.cron_schedule.cron == "0 30 4 * * 0"
    assert (int(after.max_concurrency), after.no_catchup) == (1, True)


def test_it_is_paused_resumed_and_deleted(cluster, first):
    schedule(cluster, "--name", "weekly", "--cron", "0 3 * * 1")

    def status() -> str:
        return next(each.status for each in schedules(cluster) if each.display_name == "weekly")

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


def test_what_came_between_two_firings_is_extracted_alone_and_nothing_without_news(cluster, first):
    # every minute, and the next one only after the last has ended
    known = {run.run_id for run in cluster.server.runs(100)}
    held = cluster.features()

    def fired() -> list[str]:
        return [run.run_id for run in cluster.server.runs(100) if run.run_id not in known]

    schedule(cluster, "--name", "often", "--cron", "* * * * *", "--param", *PARAMETERS)
    try:
        cluster.until(fired, "the first firing", 300)
        [one] = fired()
        assert cluster.wait(one) == "SUCCEEDED", cluster.logs(one)
        known.add(one)
        cluster.draw(61)
        cached = {step for step, states in cluster.states(one).items() if states == ["cached"]}
        assert cached >= STEPS - {
            "LatestBlessedModel",
            "BleuEvaluator",
            "Pusher",
            "Report",
        }  # these look for a newer baseline
        assert cluster.features() == held
        cluster.until(fired, "the second firing", 300)
        schedule(cluster, "--name", "often", "--pause")
        two = fired()[-1]
        assert cluster.wait(two) == "SUCCEEDED", cluster.logs(two)
        assert cluster.states(two)["FeatureExtractor"] == ["complete"]
        assert cluster.features() == held + 1
    finally:
        schedule(cluster, "--name", "often", "--delete")
