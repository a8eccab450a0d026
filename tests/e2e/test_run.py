"""The first run, and those that follow it."""

import pathlib
import re
import shutil
import signal
import subprocess
import sys

import tensorflow as tf

from components import scenes
from pipeline import sample_data
from tests.e2e.workplace import STEPS, states


def test_the_first_run_pushes_a_blessed_model(after_first, first):
    assert states(first) == dict.fromkeys(STEPS, "done")
    assert first["data"] == {
        "images": {"train": 48, "eval": 6, "test": 6},
        "captions": 300,
        "rejects": {"total": 0, "by_reason": {}},
        "warnings": [],
    }
    assert set(first["metrics"]) == set(first["intervals"])
    assert set(first["metrics"]) >= {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "vocabulary"}
    assert first["metrics"]["bleu_1"] > 0
    assert (first["decision"], first["baseline"], first["error"]) == ("blessed", None, None)
    assert pathlib.Path(first["pushed_model"]).name in after_first.versions()
    assert (after_first.root / "runs" / first["run_id"] / "summary.json").read_text() == (
        after_first.root / "summary.json"
    ).read_text()


def test_the_report_is_written(first):
    page = pathlib.Path(first["report"]).read_text()
    assert "blessed" in page and "image/jpeg" in page and page.count('"caption":') == 6
    assert first["report"] in first["out"].replace("\n", "")


def test_what_is_printed_is_short_and_says_it_all(after_first, first):
    lines = first["out"].splitlines()
    assert len(lines) < 40
    for step in STEPS:
        assert re.search(rf"\) {step} +done +\d+\.\d s$", first["out"], re.MULTILINE)
    assert "MobileNet has random weights" in first["out"]
    assert "WARNING" not in first["out"] and "tensorflow/core" not in first["out"]
    log = pathlib.Path(re.search(r"the log to (\S+)", lines[0])[1])
    assert "CaptionIngest" in (after_first.code / log).read_text()


def test_the_pushed_model_serves(after_first, first):
    model = tf.saved_model.load(first["pushed_model"])
    pictures = tf.constant([scenes.jpeg(7, index) for index in range(3)])
    answer = model.signatures["serving_default"](image_bytes=pictures)
    assert answer["caption"].shape == answer["score"].shape == (3,)
    assert all(answer["caption"].numpy())


def test_the_caption_command(after_first, first, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    good = str(after_first.data / sample_data.PICTURES / sample_data.name(7, 0))
    bad = str(tmp_path / "text.jpg")
    run = after_first.execute(
        [sys.executable, "local_runner.py", "caption", "--model", str(after_first.root / "serving"), bad, good]
    )
    assert run.returncode == 1
    assert re.fullmatch(rf"{re.escape(good)}\t[a-z ]+\n", run.stdout)
    assert run.stderr.startswith(f"{bad}: not captioned: undecodable: ")


def test_a_second_run_is_answered_from_the_cache(after_first, first):
    second = after_first.run()
    expected = dict.fromkeys(STEPS, "cached") | dict.fromkeys(["BleuEvaluator", "Pusher", "Report"], "unchanged")
    assert states(second) == expected
    assert second["decision"] == "unchanged"
    assert second["metrics"] == first["metrics"] == second["baseline"]["metrics"]
    assert second["pushed_model"] == first["pushed_model"]
    assert second["report"] == first["report"]
    assert len(after_first.versions()) == 1


def test_a_push_that_was_lost_is_made_up_for(after_first, first):
    shutil.rmtree(after_first.root / "serving")
    summary = after_first.run()
    assert states(summary)["Trainer"] == "cached" and states(summary)["Pusher"] == "done"
    assert [pathlib.Path(summary["pushed_model"]).name] == after_first.versions()


def test_another_cleaning_runs_transform_and_what_follows(after_first, first):
    cleaning = after_first.code / "components" / "tokenizer" / "cleaning.py"
    source = cleaning.read_text()
    changed = source.replace('" ")\n', '" ")\n    letters = tf.strings.regex_replace(letters, "large", "big")\n')
    assert changed != source
    cleaning.write_text(changed)
    summary = after_first.run(settings=["evaluator.min_gain=1.0"])
    assert states(summary) == dict.fromkeys(STEPS, "cached") | dict.fromkeys(
        ["Transform", "Trainer", "BleuEvaluator", "Pusher", "Report"], "done"
    )
    assert summary["decision"] == "refused"
    assert summary["pushed_model"] is None
    assert len(after_first.versions()) == 1
    assert summary["baseline"]["model"] != summary["candidate_model"]
    cleaning.write_text(source)


def test_a_run_killed_in_the_trainer_goes_on_from_there(after_first, first):
    transform = "tokenizer.coverage=0.9"
    with subprocess.Popen(
        after_first.command(settings=[transform, "trainer.epochs=500"]),
        cwd=after_first.code, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if "Trainer" in line and "epoch" in line:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert after_first.versions() == [pathlib.Path(first["pushed_model"]).name]

    summary = after_first.run(settings=[transform, "trainer.epochs=3"])
    assert states(summary) == dict.fromkeys(STEPS, "cached") | dict.fromkeys(
        ["Trainer", "BleuEvaluator", "Pusher", "Report"], "done"
    )
    assert summary["decision"] == "blessed"
    assert len(after_first.versions()) == 2
    assert all(
        (after_first.root / "serving" / version / "saved_model.pb").exists() for version in after_first.versions()
    )


def test_features_that_the_disk_has_damaged_are_noticed_and_computed_again(after_first):
    [shard, *_] = sorted(after_first.root.glob("store/**/shard-*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1  # of the same length, so that only its checksum tells
    shard.write_bytes(data)
    summary = after_first.run(settings=["trainer.seed=2"], status=1)
    assert states(summary)["FeatureExtractor"] == "cached" and states(summary)["Trainer"] == "failed"
    summary = after_first.run(settings=["trainer.seed=2"])
    assert states(summary)["FeatureExtractor"] == states(summary)["Trainer"] == "done"
    assert shard.read_bytes() != bytes(data)


def test_a_part_can_be_run_with_an_earlier_runs_outputs(after_first, first):
    summary = after_first.run("--from", "Trainer", "--to", "BleuEvaluator", settings=["trainer.seed=1"])
    assert states(summary) == dict.fromkeys(STEPS, "skipped") | {"Trainer": "done", "BleuEvaluator": "done"}
    # compared with what is blessed now, not with what was when the outputs were made
    assert summary["baseline"]["metrics"] == first["metrics"]


def test_a_model_is_taken_back_and_not_served_again(after_first, first):
    def command(name: str, *arguments: str) -> str:
        root = ["--root", str(after_first.root)]
        run = after_first.execute([sys.executable, "local_runner.py", name, *root, *arguments])
        assert run.returncode == 0, run.stderr
        return run.stdout

    other = ["trainer.seed=1"]
    second = after_first.run(settings=other)
    assert second["decision"] == "blessed" and len(after_first.versions()) == 2
    assert re.search(r"Trainer\.custom_config\.settings\.seed +0 +1", command("compare"))
    served = command("lineage", second["pushed_model"])
    assert "backbone MobileNet" in served and "train 48, eval 6, test 6; 300 captions" in served

    assert f"is version {pathlib.Path(first['pushed_model']).name} again" in command("rollback")
    assert len(after_first.versions()) == 3
    third = after_first.run(settings=other)
    assert states(third)["Trainer"] == "cached" and third["decision"] == "refused"
    assert "rolled back" in third["reasons"][-1] and third["baseline"]["model"] == first["candidate_model"]
    assert len(after_first.versions()) == 3
    fourth = after_first.run()
    assert fourth["decision"] == "unchanged" and len(after_first.versions()) == 3
