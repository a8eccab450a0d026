"""What other data does to the next run, and bad data to any."""

import os
import re
import shutil
import sys

from PIL import Image

from components import scenes
from pipeline import sample_data
from tests.e2e.workplace import states


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
    assert re.search(r"(?m)^train +– of 48 +width +High approximate Jensen-Shannon", summary["out"])

    # what was refused is not what the next data is compared with
    sample_data.write(data, 61, 7)
    summary = after_first.run("--to", "ExampleValidator", settings=[changed])
    assert {warning.split(":")[1].strip() for warning in summary["data"]["warnings"]} == {"width", "height"}
    assert "data warning" in summary["out"]

    # the first data comes back: its statistics are cached, but what came between is other
    summary = after_first.run("--to", "ExampleValidator")
    assert states(summary)["StatisticsGen"] == "cached"
    assert {warning.split(":")[1].strip() for warning in summary["data"]["warnings"]} == {"width", "height"}


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
