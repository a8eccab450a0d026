"""The fingerprint of a data directory, which decides whether the ingest runs again."""

import os
import pathlib

import pytest

from components.caption_ingest import dataset
from components.caption_ingest.rejects import Reason
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import storage
from tests.factories import write_data_set


def fingerprint_of(directory: pathlib.Path) -> str:
    return dataset.read(CaptionIngestSettings(dir=str(directory))).fingerprint()


def test_no_image_is_opened(data_dir, monkeypatch):
    opened = []
    real = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", lambda path, *args, **kw: opened.append(path) or real(path, *args, **kw))
    monkeypatch.setattr("builtins.open", lambda *args, **kw: pytest.fail(f"{args} opened"))
    monkeypatch.setattr(storage, "read_bytes", lambda path: pytest.fail(f"{path} read"))
    fingerprint_of(data_dir)
    assert opened and not any("images" in path.parts for path in opened)


def test_every_relevant_change_alters_it(data_dir):
    seen = [fingerprint_of(data_dir)]
    assert fingerprint_of(data_dir) == seen[0]
    (data_dir / "images" / "unrelated.jpg").write_bytes(b"nobody names it")
    assert fingerprint_of(data_dir) == seen[0]

    (data_dir / "images" / "a.jpg").write_bytes(b"longer than before")
    seen.append(fingerprint_of(data_dir))
    os.utime(data_dir / "images" / "b.jpg", ns=(7, 7))
    seen.append(fingerprint_of(data_dir))
    (data_dir / "images" / "gone.jpg").write_bytes(b"back again")
    seen.append(fingerprint_of(data_dir))
    (data_dir / "testImages.txt").write_text("c.jpg\nnew.jpg\n")
    seen.append(fingerprint_of(data_dir))
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("a.jpg#2\tone more\n")
    seen.append(fingerprint_of(data_dir))
    assert len(set(seen)) == len(seen)


def test_another_reason_for_rejecting_alters_it(data_dir, read):
    seen = [fingerprint_of(data_dir)]
    for name in ("one", "two"):  # first there is one candidate, then several
        (data_dir / name).mkdir()
        (data_dir / name / "gone.jpg").write_bytes(name.encode() * (1 if name == "one" else 2))
        seen.append(fingerprint_of(data_dir))
    (data_dir / "three").mkdir()
    (data_dir / "three" / "gone.jpg").write_bytes(b"3")
    [reject] = read(data_dir).rejects
    assert reject.reason == Reason.AMBIGUOUS_NAME and "3 files" in reject.detail
    seen.append(fingerprint_of(data_dir))
    assert len(set(seen)) == len(seen)


def test_a_renamed_list_alters_it(data_dir):
    before = fingerprint_of(data_dir)
    (data_dir / "trainImages.txt").unlink()
    without = fingerprint_of(data_dir)
    (data_dir / "testImages.txt").rename(data_dir / "trainImages.txt")
    assert len({before, without, fingerprint_of(data_dir)}) == 3


def test_a_file_name_that_is_not_utf_8_is_ignored(data_dir, read):
    before = fingerprint_of(data_dir)
    (data_dir / os.fsdecode(b"caf\xe9")).mkdir()
    (data_dir / os.fsdecode(b"caf\xe9") / "gone.jpg").write_bytes(b"")
    assert fingerprint_of(data_dir) == before
    [reject] = read(data_dir).rejects
    assert (reject.image_id, reject.reason) == ("gone.jpg", Reason.MISSING_IMAGE)


def test_a_changed_copy_alters_it(tmp_path):
    for path in ("images/a.jpg", "images/images/a.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"1234")
    write_data_set(tmp_path, "a.jpg#0\tA dog\n")
    before = fingerprint_of(tmp_path)
    os.utime(tmp_path / "images" / "images" / "a.jpg", ns=(7, 7))
    assert fingerprint_of(tmp_path) != before


def test_captions_that_mean_the_same_do_not_alter_it(data_dir):
    before = fingerprint_of(data_dir)
    captions = data_dir / "captions.token.txt"
    captions.write_bytes(captions.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    os.utime(captions, ns=(7, 7))
    assert fingerprint_of(data_dir) == before


def test_it_is_taken_of_what_was_read(data_dir, read):
    data = read(data_dir)
    before = data.fingerprint()
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("a.jpg#2\tone more\n")
    assert data.fingerprint() == before != fingerprint_of(data_dir)
