import logging

from components import progress
from components.progress import Progress, SparseProgress, describe


def test_the_rate_and_the_time_left_are_told():
    assert describe("pictures", 120, 500, 24.0) == "120 of 500 pictures, 24.0 a second, 16 s left"


def test_it_tells_once_an_interval_and_at_the_end(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "captions.progress")
    counted = Progress("pictures", 10, interval=1.0)
    for _ in range(10):
        now[0] += 0.3
        counted.advance()
    assert [message.split(",")[0] for message in caplog.messages] == [
        "4 of 10 pictures",
        "8 of 10 pictures",
        "10 of 10 pictures",
    ]


def test_a_log_gets_all_lines_but_progress_only_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    sparse = SparseProgress(seconds=30.0)

    def passes(name: str) -> bool:
        return sparse.filter(logging.LogRecord(name, logging.INFO, "", 0, "", None, None))

    assert passes(progress.LOGGER.name)
    now[0] = 129.0
    assert not passes(progress.LOGGER.name) and passes("absl") and passes("absl")
    now[0] = 130.0
    assert passes(progress.LOGGER.name) and not passes(progress.LOGGER.name)


def test_each_progress_is_thinned_out_by_itself_and_its_end_is_always_in_the_log(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "captions.progress")
    with caplog.filtering(SparseProgress(seconds=30.0)):
        for what in ("pictures", "thumbnails", "thumbnails"):  # a step after the other, of 4 s each
            counted = Progress(what, 4)
            for _ in range(4):
                now[0] += 1.0
                counted.advance()
        for form in ("epoch %d", "epoch %d", "goes on after %d steps"):  # the Trainer's, which counts for itself
            progress.LOGGER.info(form, 1)
    assert [message.split(",")[0] for message in caplog.messages] == [
        "1 of 4 pictures",
        "4 of 4 pictures",
        "1 of 4 thumbnails",
        "4 of 4 thumbnails",
        "1 of 4 thumbnails",
        "4 of 4 thumbnails",
        "epoch 1",
        "goes on after 1 steps",
    ]
