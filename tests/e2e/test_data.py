"""What changed data does to the next run, and bad data to any run."""

import os
import pathlib
import re
import shutil

from PIL import Image

from components.shared import scenes
from pipeline import sample_data
from tests.e2e.sandbox import Sandbox, done, states


def test_the_stats_command(sandbox):
    assert "most frequent words of train" in sandbox.print("stats")
    assert "facets-overview" in pathlib.Path(sandbox.paths.statistics).read_text()


def newest_records(sandbox: Sandbox) -> dict[str, bytes]:
    """The record files of the newest examples: name -> bytes."""
    artifacts = pathlib.Path(sandbox.paths.artifacts)
    newest = max(artifacts.glob("CaptionIngest/examples/*"), key=lambda path: int(path.name))
    return {str(path.relative_to(newest)): path.read_bytes() for path in newest.glob("Split-*/*")}


def test_the_records_do_not_depend_on_the_number_of_workers(sandbox):
    before = newest_records(sandbox)
    shutil.rmtree(sandbox.paths.inspection_cache)
    workers = "beam.pipeline_args=[--direct_num_workers=2,--direct_running_mode=multi_processing]"
    summary = sandbox.run("--to", "CaptionIngest", "--no-cache", settings=[workers])
    assert states(summary)["CaptionIngest"] == "done"
    assert len(list(pathlib.Path(sandbox.paths.artifacts).glob("CaptionIngest/examples/*"))) == 2
    assert newest_records(sandbox) == before and len(before) == 3


def test_touched_images_change_nothing(sandbox):
    images = list((sandbox.data / sample_data.IMAGES).iterdir())
    for path in images:
        path.touch()
    assert len(images) == 60
    summary = sandbox.run("--to", "Exporter")
    assert states(summary) == done("CaptionIngest") | dict.fromkeys(("BleuEvaluator", "Pusher", "Report"), "skipped")
    assert len(list(pathlib.Path(sandbox.paths.artifacts).glob("CaptionIngest/examples/*"))) == 1
    assert states(sandbox.run("--to", "Exporter"))["CaptionIngest"] == "cached"


def test_new_rejects_retrain_nothing(sandbox):
    (sandbox.data / sample_data.IMAGES / "broken.jpg").write_bytes(b"no image")
    with open(sandbox.data / sample_data.TEXT / "Flickr8k.token.txt", "a") as file:
        file.write("broken.jpg#0\ta dog runs\ngone.jpg#0\ta dog runs\n")
    summary = sandbox.run()
    assert summary["data"]["rejects"]["by_reason"] == {"missing_image": 1, "undecodable": 1}
    expected = done("CaptionIngest") | dict.fromkeys(["BleuEvaluator", "Pusher", "Report"], "unchanged")
    assert states(summary) == expected
    outputs = {
        key: len(list(pathlib.Path(sandbox.paths.artifacts).glob(f"CaptionIngest/{key}/*")))
        for key in ("examples", "rejects")
    }
    assert outputs == {"examples": 1, "rejects": 2}
    again = sandbox.run()
    assert states(again) == done() and again["data"] == summary["data"]


def warned_features(summary: dict) -> set[str]:
    """The features that the warnings about the data name."""
    return {re.search(r" differ in (\w+):", warning)[1] for warning in summary["data"]["warnings"]}


def test_drift_gives_a_warning_or_fails_the_run(sandbox, tmp_path):
    data = tmp_path / "data"
    sample_data.write(data, 60, 7)
    for path in (data / sample_data.IMAGES).iterdir():
        with Image.open(path) as image:
            image.resize((320, 200)).save(path)
    changed = f"data.dir={data}"
    summary = sandbox.run("--to", "ExampleValidator", settings=[changed, "data.on_drift=fail"], status=1)
    assert states(summary)["ExampleValidator"] == "failed"
    assert re.search(r"(?m)^train +– of 48 +width +train and the previous", summary["out"])

    # the next data is not compared with data that was refused
    sample_data.write(data, 61, 7)
    summary = sandbox.run("--to", "ExampleValidator", settings=[changed])
    assert warned_features(summary) == {"width", "height"}
    assert "data warning" in summary["out"]

    # with the first data again: its statistics are cached, but they are compared with the data in between
    summary = sandbox.run("--to", "ExampleValidator")
    assert states(summary)["StatisticsGen"] == "cached"
    assert warned_features(summary) == {"width", "height"}


def shard_times(sandbox: Sandbox) -> dict[pathlib.Path, int]:
    """Modification times of the feature store's shards."""
    shards = pathlib.Path(sandbox.paths.feature_store).glob("*/shard-*")
    return {path: path.stat().st_mtime_ns for path in shards}


def test_only_features_of_added_images_are_computed(sandbox):
    assert sandbox.num_features() == 60
    before = shard_times(sandbox)
    sample_data.write(sandbox.data, 70, 7)
    summary = sandbox.run("--to", "FeatureExtractor")
    assert states(summary)["CaptionIngest"] == states(summary)["FeatureExtractor"] == "done"
    assert states(summary)["Transform"] == "skipped"
    assert sum(summary["data"]["images"].values()) == 70
    assert sandbox.num_features() == 70
    assert before.items() <= shard_times(sandbox).items()


def test_unused_features_are_deleted_and_computed_again_when_they_are_needed(sandbox):
    sandbox.run("--to", "FeatureExtractor", settings=["feature_extractor.image_size=32"])
    for shard in pathlib.Path(sandbox.paths.feature_store).glob("*/shard-*.tfrecord"):
        os.utime(shard, (1, 1))  # recent files are kept
    assert sandbox.print("features", "gc", "--yes").endswith("Nothing to delete.\n")
    assert sandbox.num_features() == 120
    assert "MobileNet 64 px, random" in sandbox.print("features", "gc", "--keep-last", "1", "--yes")
    assert sandbox.num_features() == 60
    summary = sandbox.run("--to", "FeatureExtractor")
    assert states(summary)["FeatureExtractor"] == "done"
    assert sandbox.num_features() == 120


BAD_CAPTIONS = {
    "truncated": "cut.jpg#0\tA circle .\n",
    "undecodable": "text.jpg#0\tA circle .\n",
    "missing_image": "gone.jpg#0\tA circle .\n",
    "outside_data_dir": "../../x.jpg#0\tA circle .\n",
    "empty_caption": "cmyk.jpg#1\t\n",
    "bad_line": "a line without a name\n",
}


def test_bad_data_is_rejected_with_reasons_or_fails_the_run(sandbox, tmp_path):
    data = tmp_path / "data"
    sample_data.write(data, 60, 7)
    images, captions = data / sample_data.IMAGES, data / sample_data.TEXT / "Flickr8k.token.txt"
    jpeg = scenes.jpeg(7, 0)
    (images / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (images / "text.jpg").write_text("no image")
    scenes.draw(7, 1).convert("CMYK").save(images / "cmyk.jpg")
    text = captions.read_text() + "".join(BAD_CAPTIONS.values()) + "cmyk.jpg#0\tA circle in four inks .\n"
    captions.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    summary = sandbox.run(settings=[f"data.dir={data}"], status=1)
    assert states(summary) == {"CaptionIngest": "failed"}
    assert "6 of 307 captions (2.0%) can't be used" in summary["error"]
    assert summary["error"] in summary["out"]
    for reason in BAD_CAPTIONS:
        assert reason in summary["out"]

    summary = sandbox.run("--to", "StatisticsGen", settings=[f"data.dir={data}", "data.max_reject_fraction=0.05"])
    rejects = summary["data"]["rejects"]
    assert (rejects["total"], rejects["by_reason"]) == (6, dict.fromkeys(BAD_CAPTIONS, 1))
    assert os.path.relpath(rejects["file"], sandbox.code) in summary["out"] and len(rejects["examples"]) == 3
    assert sum(summary["data"]["images"].values()) == 61


def test_a_failed_step_is_named_with_its_cause_and_the_log(sandbox):
    path = sandbox.data / sample_data.IMAGES / sample_data.name(7, 5)
    stat = path.stat()
    changed = bytearray(path.read_bytes())
    changed[-10] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # unnoticed by the ingest: same size, same time
    summary = sandbox.run(settings=["feature_extractor.image_size=96"], status=1)
    assert states(summary)["FeatureExtractor"] == "failed"
    assert "has changed since it was ingested; run again" in summary["error"].splitlines()[0]
    assert re.search(r"runs/\S+/log.txt", summary["out"])
