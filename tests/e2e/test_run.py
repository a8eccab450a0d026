"""The real pipeline, on the sample's own config made small, run as a user runs it: one process a run.

One first run is made for all tests of this file, on a copy of the code, so that code can be changed. Each test starts
from the state that it left.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest
import tensorflow as tf
from PIL import Image

from components import scenes
from pipeline import sample_data
from tests.material import ROOT

SMALL = [
    "data.sample.images=60",
    "feature_extractor.backbone=MobileNet",
    "feature_extractor.image_size=64",
    "trainer.epochs=2",
    "trainer.warmup=20",
    "trainer.encoder_layers=1",
    "trainer.decoder_layers=1",
    "trainer.d_model=32",
    "trainer.feed_forward=64",
    "evaluator.min_bleu_4=0.0",
    "evaluator.min_gain=-1.0",
    "evaluator.meteor=false",
]
STEPS = [
    "CaptionIngest",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "FeatureExtractor",
    "Transform",
    "Trainer",
    "BleuEvaluator",
    "Pusher",
    "Report",
]


class Workplace:
    """A copy of the code and a root, which can be set back to how the first run left them."""

    def __init__(self, directory: pathlib.Path):
        self.directory, self.saved = directory / "now", directory / "saved"
        self.code, self.root = self.directory / "code", self.directory / "root"
        self.data = self.root / "sample_data"
        for name in ("components", "pipeline", "schemas"):
            shutil.copytree(ROOT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "local_runner.py", self.code)
        self.first = self.run()
        shutil.copytree(self.directory, self.saved)

    def set_back(self) -> None:
        shutil.rmtree(self.directory)
        shutil.copytree(self.saved, self.directory)  # at the same place: ML Metadata knows absolute paths

    def command(self, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
        overrides = ["--set", *SMALL, *settings]
        return [sys.executable, "local_runner.py", "run", "--root", str(self.root), *arguments, *overrides]

    def execute(self, command: list[str]) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        return subprocess.run(command, cwd=self.code, env=environment, capture_output=True, text=True, check=False)

    def run(self, *arguments: str, settings: Sequence[str] = (), status: int = 0) -> dict:
        """Runs the pipeline; the summary, with what was printed as `out`."""
        run = self.execute(self.command(*arguments, settings=settings))
        assert run.returncode == status, run.stdout + run.stderr
        return json.loads((self.root / "summary.json").read_text()) | {"out": run.stdout + run.stderr}

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "serving").iterdir())

    def features(self) -> int:
        """Number of pictures that the feature store holds."""
        indices = (self.root / "store" / "features").glob("*/shard-*.json")
        return sum(len(json.loads(index.read_text())["sha256"]) for index in indices)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("e2e"))


@pytest.fixture
def after_first(workplace) -> Workplace:
    workplace.set_back()
    return workplace


@pytest.fixture
def first(workplace) -> dict:
    return workplace.first


def states(summary: dict) -> dict[str, str]:
    return {node["id"]: node["state"] for node in summary["nodes"]}


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


def test_the_stats_command(after_first):
    command = [sys.executable, "local_runner.py", "stats", "--root", str(after_first.root)]
    run = after_first.execute(command)
    assert run.returncode == 0, run.stderr
    assert "commonest words of train" in run.stdout
    assert "facets-overview" in (after_first.root / "statistics.html").read_text()


def test_the_records_do_not_depend_on_the_number_of_workers(after_first):
    def records() -> dict[str, bytes]:
        newest = max(after_first.root.glob("artifacts/CaptionIngest/examples/*"), key=lambda path: int(path.name))
        return {str(path.relative_to(newest)): path.read_bytes() for path in newest.glob("Split-*/*")}

    before = records()
    shutil.rmtree(after_first.root / "store" / "pictures")
    workers = "beam.args=[--direct_num_workers=2,--direct_running_mode=multi_processing]"
    summary = after_first.run("--to", "CaptionIngest", settings=[workers])
    assert states(summary)["CaptionIngest"] == "done"
    assert len(list(after_first.root.glob("artifacts/CaptionIngest/examples/*"))) == 2
    assert records() == before and len(before) == 3


def test_data_that_is_other_than_before_is_noticed(after_first, tmp_path):
    data = tmp_path / "data"
    sample_data.write(data, 60, 7)
    for path in (data / sample_data.PICTURES).iterdir():
        with Image.open(path) as picture:
            picture.resize((320, 200)).save(path)
    changed = f"data.dir={data}"
    summary = after_first.run("--to", "ExampleValidator", settings=[changed, "data.on_drift=stop"], status=1)
    assert states(summary)["ExampleValidator"] == "failed"
    assert re.search(r"(?m)^train +48 +width +High approximate Jensen-Shannon", summary["out"])

    # what was refused is not what the next data is compared with
    sample_data.write(data, 61, 7)
    summary = after_first.run("--to", "ExampleValidator", settings=[changed])
    assert {warning.split(":")[1].strip() for warning in summary["data"]["warnings"]} == {"width", "height"}
    assert "data warning" in summary["out"]

    # the first data comes back: its statistics are cached, but what came between is other
    summary = after_first.run("--to", "ExampleValidator")
    assert states(summary)["StatisticsGen"] == "cached"
    assert {warning.split(":")[1].strip() for warning in summary["data"]["warnings"]} == {"width", "height"}


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


def test_added_pictures_alone_are_extracted(after_first, first):
    assert after_first.features() == 60
    shards = {path: path.stat().st_mtime_ns for path in after_first.root.glob("store/features/*/shard-*")}
    sample_data.write(after_first.data, 70, 7)
    summary = after_first.run("--to", "FeatureExtractor")
    assert states(summary)["CaptionIngest"] == states(summary)["FeatureExtractor"] == "done"
    assert states(summary)["Transform"] == "skipped"
    assert sum(summary["data"]["images"].values()) == 70
    assert after_first.features() == 70
    assert (
        shards.items() <= {p: p.stat().st_mtime_ns for p in after_first.root.glob("store/features/*/shard-*")}.items()
    )


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


BAD = {
    "truncated": "cut.jpg#0\tA circle .\n",
    "undecodable": "text.jpg#0\tA circle .\n",
    "missing_image": "gone.jpg#0\tA circle .\n",
    "outside_data_dir": "../../x.jpg#0\tA circle .\n",
    "empty_caption": "cmyk.jpg#1\t\n",
    "bad_line": "cmyk.jpg#2 no tab\n",
}


def test_bad_data_is_rejected_with_reasons_or_stops_the_run(after_first, first, tmp_path):
    data = tmp_path / "data"
    sample_data.write(data, 60, 7)
    pictures, captions = data / sample_data.PICTURES, data / sample_data.TEXT / "Flickr8k.token.txt"
    whole = scenes.jpeg(7, 0)
    (pictures / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (pictures / "text.jpg").write_text("no picture")
    scenes.draw(7, 1).convert("CMYK").save(pictures / "cmyk.jpg")
    text = captions.read_text() + "".join(BAD.values()) + "cmyk.jpg#0\tA circle in four inks .\n"
    captions.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    summary = after_first.run(settings=[f"data.dir={data}"], status=1)
    assert states(summary) == {"CaptionIngest": "failed"}
    assert "6 of 307 captions (2.0%) can't be used" in summary["error"]
    assert summary["error"] in summary["out"]
    for reason in BAD:
        assert reason in summary["out"]

    summary = after_first.run("--to", "StatisticsGen", settings=[f"data.dir={data}", "data.max_reject_fraction=0.05"])
    assert summary["data"]["rejects"] == {"total": 6, "by_reason": dict.fromkeys(BAD, 1)}
    assert sum(summary["data"]["images"].values()) == 61


def test_a_step_that_fails_is_named_with_its_cause_and_the_log(after_first, first):
    picture = after_first.data / sample_data.PICTURES / sample_data.name(7, 5)
    stat = picture.stat()
    changed = bytearray(picture.read_bytes())
    changed[-10] ^= 1
    picture.write_bytes(changed)
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # behind the ingest's back: same size, same time
    summary = after_first.run(settings=["feature_extractor.image_size=96"], status=1)
    assert states(summary)["FeatureExtractor"] == "failed"
    assert "has changed since it was ingested; run again" in summary["error"].splitlines()[0]
    assert re.search(r"runs/\S+/log.txt", summary["out"])


def test_features_that_no_run_needs_are_dropped_and_computed_again_when_they_are(after_first):
    after_first.run("--to", "FeatureExtractor", settings=["feature_extractor.image_size=32"])
    for shard in (after_first.root / "store" / "features").glob("*/shard-*.tfrecord"):
        os.utime(shard, (1, 1))  # what is young is not dropped
    store = [sys.executable, "local_runner.py", "store", "--root", str(after_first.root)]
    kept = after_first.execute([*store, "--drop"])
    assert kept.stdout.endswith("0.0 MiB freed\n"), kept.stderr
    assert after_first.features() == 120
    dropped = after_first.execute([*store, "--drop", "--last", "1"])
    assert "MobileNet 64 px, random" in dropped.stdout
    assert after_first.features() == 60
    again = after_first.run("--to", "FeatureExtractor")
    assert states(again)["FeatureExtractor"] == "done"
    assert after_first.features() == 120
