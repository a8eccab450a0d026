"""The first run, and those that follow it."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import tensorflow as tf

from components.shared import scenes
from components.shared.mlmd.runs import running_executions
from pipeline import sample_data
from pipeline.database import open_metadata
from tests.e2e.sandbox import done, states
from tests.factories import STEPS


def test_the_first_run_pushes_a_blessed_model(sandbox, first):
    assert states(first) == dict.fromkeys(STEPS, "done")
    assert first["data"] == {
        "images": {"train": 48, "eval": 6, "test": 6},
        "captions": 300,
        "rejects": {"total": 0, "by_reason": {}},
        "warnings": [],
    }
    assert set(first["metrics"]) == set(first["intervals"])
    assert set(first["metrics"]) >= {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "unique_words"}
    assert first["metrics"]["bleu_1"] > 0
    assert (first["decision"], first["baseline"], first["error"]) == ("blessed", None, None)
    assert pathlib.Path(first["pushed_model"]).name in sandbox.versions()
    of_run = pathlib.Path(sandbox.paths.run(first["run_id"]).summary)
    assert of_run.read_text() == pathlib.Path(sandbox.paths.summary).read_text()


def test_the_report_is_written(sandbox, first):
    page = pathlib.Path(first["report"]).read_text()
    assert "blessed" in page and "image/jpeg" in page and page.count('"caption":') == 6
    assert os.path.relpath(first["report"], sandbox.code) in first["out"].replace("\n", "")


def test_the_console_shows_each_step_in_a_line(sandbox, first):
    lines = first["out"].splitlines()
    assert len([line for line in lines if " running" not in line]) < 35
    assert "  caption an image:" in first["out"].partition("What to do next:\n")[2]
    for step in STEPS:
        assert re.search(rf"\) {step} +done +\d+\.\d s$", first["out"], re.MULTILINE)
    assert "MobileNet has random weights" in first["out"]
    assert "WARNING" not in first["out"] and "tensorflow/core" not in first["out"]
    log = pathlib.Path(sandbox.paths.run(first["run_id"]).log)
    assert log.name in lines[0] and "CaptionIngest" in log.read_text()


def test_the_pushed_model_serves(first):
    model = tf.saved_model.load(first["pushed_model"])
    images = tf.constant([scenes.jpeg(7, index) for index in range(3)])
    answer = model.signatures["serving_default"](image_bytes=images)
    assert answer["caption"].shape == answer["score"].shape == (3,)
    assert all(answer["caption"].numpy())


def test_the_caption_command(sandbox, first, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    good, bad = str(sandbox.data / sample_data.IMAGES / sample_data.name(7, 0)), str(tmp_path / "text.jpg")
    command = [*sandbox.command("caption")[:3], "--model", str(sandbox.serving), bad, good]
    run = sandbox.execute(command)
    assert run.returncode == 1
    assert re.fullmatch(rf"{re.escape(good)}\t[a-z ]+\n", run.stdout)
    assert run.stderr.startswith(f"{bad}: not captioned: undecodable: ")


def test_a_second_run_is_answered_from_the_cache(sandbox, first):
    second = sandbox.run()
    expected = done() | dict.fromkeys(["BleuEvaluator", "Pusher", "Report"], "unchanged")
    assert states(second) == expected
    assert second["decision"] == "unchanged"
    assert second["metrics"] == first["metrics"] == second["baseline"]["metrics"]
    assert second["pushed_model"] == first["pushed_model"]
    assert second["report"] == first["report"]
    assert len(sandbox.versions()) == 1


def test_edited_comments_leave_every_step_cached(sandbox):
    for path in (sandbox.code / "components").rglob("*.py"):
        path.write_text(f"# a comment\n{path.read_text()}\n# another\n".replace('"""', '"""Other words: ', 1))
    summary = sandbox.run("--to", "BleuEvaluator")
    assert set(states(summary).values()) == {"cached", "unchanged", "skipped"}
    assert [step for step, state in states(summary).items() if state == "unchanged"] == ["BleuEvaluator"]


def test_other_decoding_trains_nothing(sandbox, first):
    summary = sandbox.run(settings=["decoding.beam_size=2"])
    assert states(summary) == done("Exporter", "BleuEvaluator", "Pusher", "Report")
    assert summary["decision"] == "blessed" and len(sandbox.versions()) == 2
    assert summary["baseline"]["model"] == first["candidate_model"] != summary["candidate_model"]


def test_comparison_models_are_evaluated_and_never_pushed(sandbox, first):
    models = "trainer.comparison_models=[{name: gru, d_model: 16, units: 16}, {name: gru, d_model: 8, units: 8}]"
    summary = sandbox.run(settings=[models])
    added = {"Trainer_gru": "done", "Exporter_gru": "done", "Trainer_gru_2": "done", "Exporter_gru_2": "done"}
    assert states(summary) == done("Report") | added | {"BleuEvaluator": "unchanged", "Pusher": "unchanged"}
    assert set(summary["comparison_models"]) == {"gru", "gru_2"}
    assert all(model["metrics"]["bleu_4"] >= 0 for model in summary["comparison_models"].values())
    assert summary["pushed_model"] == first["pushed_model"] and len(sandbox.versions()) == 1


def test_a_lost_push_is_repeated(sandbox):
    shutil.rmtree(sandbox.serving)
    summary = sandbox.run()
    assert states(summary)["Trainer"] == "cached" and states(summary)["Pusher"] == "done"
    assert [pathlib.Path(summary["pushed_model"]).name] == sandbox.versions()


def test_changed_cleaning_runs_transform_and_what_follows(sandbox):
    cleaning = sandbox.code / "components" / "tokenizer" / "cleaning.py"
    source = cleaning.read_text()
    replacement = 'sentences = tf.strings.regex_replace(sentences, "large", "big")\n    return'
    changed = source.replace("return", replacement)
    assert changed != source
    cleaning.write_text(changed)
    summary = sandbox.run(settings=["evaluator.min_bleu_4_improvement=1.0"])
    assert states(summary) == done("Transform", "Trainer", "Exporter", "BleuEvaluator", "Pusher", "Report")
    assert summary["decision"] == "rejected"
    assert summary["pushed_model"] is None
    assert len(sandbox.versions()) == 1
    assert summary["baseline"]["model"] != summary["candidate_model"]


def test_a_run_that_is_killed_in_the_trainer_is_resumed(sandbox, first):
    transform = "tokenizer.max_length_quantile=0.9"
    command = sandbox.command("run", settings=[transform, "trainer.epochs=500"])
    with subprocess.Popen(command, cwd=sandbox.code, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "Trainer" in line and "epoch" in line:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert sandbox.versions() == [pathlib.Path(first["pushed_model"]).name]

    summary = sandbox.run(settings=[transform, "trainer.epochs=3"])
    assert states(summary) == done("Trainer", "Exporter", "BleuEvaluator", "Pusher", "Report")
    assert summary["decision"] == "blessed"
    assert len(sandbox.versions()) == 2
    assert all((sandbox.serving / version / "saved_model.pb").exists() for version in sandbox.versions())
    with open_metadata(sandbox.paths.metadata_uri) as handle:
        assert running_executions(handle.store) == []  # the killed one was closed


def test_corrupt_features_are_noticed_and_computed_again(sandbox):
    [shard, *_] = sorted(pathlib.Path(sandbox.paths.feature_store).glob("**/shard-*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1  # of the same length, so that only its checksum tells
    shard.write_bytes(data)
    summary = sandbox.run(settings=["trainer.seed=2"], status=1)
    assert states(summary)["FeatureExtractor"] == "cached" and states(summary)["Trainer"] == "failed"
    summary = sandbox.run(settings=["trainer.seed=2"])
    assert states(summary)["FeatureExtractor"] == states(summary)["Trainer"] == "done"
    assert shard.read_bytes() != bytes(data)


def test_a_part_can_be_run_with_an_earlier_runs_outputs(sandbox, first):
    summary = sandbox.run("--from", "Trainer", "--to", "BleuEvaluator", settings=["trainer.seed=1"])
    executed = dict.fromkeys(["Trainer", "Exporter", "BleuEvaluator"], "done")
    assert states(summary) == dict.fromkeys(STEPS, "skipped") | executed
    # compared with what is blessed now, not with what was when the outputs were made
    assert summary["baseline"]["metrics"] == first["metrics"]


def test_a_model_is_rolled_back_and_not_served_again(sandbox, first):
    other = ["trainer.seed=1"]
    second = sandbox.run(settings=other)
    assert second["decision"] == "blessed" and len(sandbox.versions()) == 2
    assert re.search(r"trainer\.seed +0 +1", sandbox.print("compare"))
    lineage = sandbox.execute([*sandbox.command("lineage")[:3], second["pushed_model"]]).stdout
    assert "backbone MobileNet" in lineage and "train 48, eval 6, test 6; 300 captions" in lineage

    assert f"Rolled back to {pathlib.Path(first['pushed_model']).name}" in sandbox.print("rollback")
    assert len(sandbox.versions()) == 3
    third = sandbox.run(settings=other)
    assert states(third)["Trainer"] == "cached" and third["decision"] == "rejected"
    assert "rolled back" in third["reasons"][-1] and third["baseline"]["model"] == first["candidate_model"]
    assert len(sandbox.versions()) == 3
    fourth = sandbox.run()
    assert fourth["decision"] == "unchanged" and len(sandbox.versions()) == 3
