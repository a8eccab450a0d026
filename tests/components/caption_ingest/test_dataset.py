import json
import os
import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components import images
from components.caption_ingest import dataset, gathering, readers, splits
from components.caption_ingest.dataset import Settings
from components.caption_ingest.pictures import Inspected
from components.caption_ingest.rejects import Reason, TooManyRejects
from tests.material import ROOT, write_data_set

LISTS = {"train": ["a.jpg", "gone.jpg"], "dev": ["b.jpg"], "test": ["c.jpg"]}


@pytest.fixture
def data_dir(tmp_path):
    names = ("a.jpg", "b.jpg", "c.jpg", "new.jpg")
    lines = [f"{name}#{number}\t{name[0]} says {number}\n" for name in (*names, "gone.jpg") for number in range(2)]
    write_data_set(tmp_path, "".join(lines), LISTS)
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / name).write_bytes(name.encode())
    return tmp_path


def test_pictures_meet_their_captions_splits_and_files(data_dir):
    data = dataset.read(Settings(str(data_dir)))
    assert [(entry.image_id, entry.split, entry.file.uri) for entry in data.entries] == [
        ("a.jpg", "train", "images/a.jpg"),
        ("b.jpg", "eval", "images/b.jpg"),
        ("c.jpg", "test", "images/c.jpg"),
        ("new.jpg", "train", "images/new.jpg"),
    ]
    assert data.entries[1].captions == ("b says 0", "b says 1")
    assert data.entries[1].line == 3
    assert data.rows == 10


def test_a_missing_picture_loses_all_its_captions(data_dir):
    [reject] = dataset.read(Settings(str(data_dir))).rejects
    assert (reject.image_id, reject.reason, reject.line, reject.rows) == ("gone.jpg", Reason.MISSING_IMAGE, 9, 2)


@pytest.mark.parametrize("name", ["../../x.jpg", "/etc/passwd", "images/../../x.jpg", "..\\x.jpg", "C:\\x.jpg"])
def test_no_name_leads_out_of_the_directory(tmp_path, name):
    write_data_set(tmp_path / "data", f"{name}#0\tA secret\n")
    [reject] = dataset.read(Settings(str(tmp_path / "data"))).rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR


@pytest.mark.parametrize("bad", ["../x/0.jpg", "/data/0.jpg"])
def test_a_name_that_leads_out_takes_no_picture_with_it(tmp_path, bad):
    write_data_set(tmp_path, f"0.jpg#0\tA dog\n{bad}#0\tA secret\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.jpg").write_bytes(b"0")
    data = dataset.read(Settings(str(tmp_path)))
    assert [entry.image_id for entry in data.entries] == ["0.jpg"]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [(bad, Reason.OUTSIDE_DATA_DIR)]


def test_a_link_out_of_the_directory_is_rejected(tmp_path):
    write_data_set(tmp_path / "data", "link.jpg#0\tA secret\n")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "data" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    [reject] = dataset.read(Settings(str(tmp_path / "data"))).rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR


def test_unlisted_pictures_can_be_skipped(data_dir):
    data = dataset.read(Settings(str(data_dir), unlisted="skip"))
    assert [entry.image_id for entry in data.entries] == ["a.jpg", "b.jpg", "c.jpg"]
    assert data.warnings == ("1 pictures are in no official list and left out (data.unlisted=skip)",)


def test_a_skipped_picture_is_no_loss_where_it_is_missing(data_dir):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("neither.jpg#0\tin no list and not there\n")
    rejects = dataset.read(Settings(str(data_dir), unlisted="skip")).rejects
    assert [reject.image_id for reject in rejects] == ["gone.jpg"]


def test_a_files_own_path_comes_before_the_name_of_another(tmp_path):
    (tmp_path / "crops").mkdir()
    for name in ("img.jpg", "crops/img.jpg"):
        (tmp_path / name).write_bytes(b"")
    write_data_set(tmp_path, "img.jpg#0\tA dog\n")
    [entry] = dataset.read(Settings(str(tmp_path))).entries
    assert entry.file.uri == "img.jpg"


def test_a_missing_picture_does_not_get_a_namesake(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "0.png").write_bytes(b"")
    write_data_set(tmp_path, "train/0.png#0\tA dog\nval/0.png#0\tA cat\n./train/0.png#1\tA hound\n")
    data = dataset.read(Settings(str(tmp_path)))
    [entry], [reject] = data.entries, data.rejects
    assert (entry.image_id, entry.captions) == ("train/0.png", ("A dog", "A hound"))
    assert (reject.image_id, reject.reason) == ("val/0.png", Reason.MISSING_IMAGE)


@pytest.mark.parametrize("sizes_differ", [True, False])
def test_one_name_in_captions_of_two_directories_is_not_one_picture(tmp_path, sizes_differ):
    for split in ("train", "test"):
        for path in (f"images/{split}/0.png", f"images/{split}/{split}.png"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(split.encode() if sizes_differ else b"")
        (tmp_path / split).mkdir()
        names = ("0.png", "0.png", f"{split}.png", f"{split}/0.png")
        lines = "".join(f'{{"file_name": "{name}", "text": "in {split}"}}\n' for name in names)
        (tmp_path / split / "metadata.jsonl").write_text(lines)
    data = dataset.read(Settings(str(tmp_path)))
    assert [(entry.image_id, entry.file.uri, entry.split) for entry in data.entries] == [
        ("test.png", "images/test/test.png", "test"),
        ("test/0.png", "images/test/0.png", "test"),  # the path ends so
        ("train.png", "images/train/train.png", "train"),
        ("train/0.png", "images/train/0.png", "train"),
    ]
    assert [(reject.source, reject.line, reject.reason, reject.rows) for reject in data.rejects] == [
        ("test/metadata.jsonl", 1, Reason.AMBIGUOUS_NAME, 2),
        ("train/metadata.jsonl", 1, Reason.AMBIGUOUS_NAME, 2),
    ]
    where = "2 files may be meant: images/test/0.png, images/train/0.png; the captions have to say the directory"
    assert data.rejects[0].detail == where


def test_files_of_one_name_may_be_copies_of_one_picture(tmp_path):
    for path in ("pictures/a.jpg", "pictures/pictures/a.jpg", "pictures/b.jpg", "pictures/pictures/b.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"1234")
    lists = {"train": ["b.jpg"], "test": ["pictures/pictures/a.jpg"]}
    write_data_set(tmp_path, "a.jpg#0\tA dog\na.jpg#1\tA hound\nb.jpg#0\tA cat\nval/a.jpg#0\tAnother\n", lists)
    data = dataset.read(Settings(str(tmp_path)))
    assert [(entry.image_id, entry.file.uri, entry.split) for entry in data.entries] == [
        ("a.jpg", "pictures/a.jpg", "test"),
        ("b.jpg", "pictures/b.jpg", "train"),
    ]
    assert [[file.uri for file in entry.copies] for entry in data.entries] == [
        ["pictures/pictures/a.jpg"],
        ["pictures/pictures/b.jpg"],
    ]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [("val/a.jpg", Reason.MISSING_IMAGE)]

    found = {"pictures/a.jpg": "same", "pictures/pictures/a.jpg": "same", "pictures/b.jpg": "one"}
    look = {path: Inspected(sha256) for path, sha256 in found.items()}
    [a], [b] = dataset.part_namesakes(data.entries, lambda file: look.get(file.uri))  # the copy of b can't be read
    assert (a.image_id, b.image_id, b.reason, b.rows) == ("a.jpg", "b.jpg", Reason.AMBIGUOUS_NAME, 1)
    assert b.detail.startswith("2 files may be meant: pictures/b.jpg, pictures/pictures/b.jpg;")

    before = dataset.fingerprint(Settings(str(tmp_path)))
    os.utime(tmp_path / "pictures" / "pictures" / "b.jpg", ns=(7, 7))
    assert dataset.fingerprint(Settings(str(tmp_path))) != before


def test_a_link_that_leads_out_is_no_copy(tmp_path):
    (tmp_path / "data" / "x").mkdir(parents=True)
    for path in ("a.jpg", "data/x/a.jpg"):
        (tmp_path / path).write_bytes(b"1234")
    (tmp_path / "data" / "y").symlink_to(tmp_path)
    write_data_set(tmp_path / "data", "a.jpg#0\tA dog\n")
    [reject] = dataset.read(Settings(str(tmp_path / "data"))).rejects
    assert reject.reason == Reason.AMBIGUOUS_NAME


def test_two_pictures_do_not_share_a_file_that_neither_names(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(b"")
    write_data_set(tmp_path, "train/0.png#0\tA dog\nval/0.png#0\tA cat\n")
    data = dataset.read(Settings(str(tmp_path)))
    assert not data.entries and {reject.reason for reject in data.rejects} == {Reason.AMBIGUOUS_NAME}
    assert data.rejects[0].detail == "train/0.png and val/0.png are not there, and both may be images/0.png"


def test_a_missing_picture_is_told_where_others_of_its_name_are(tmp_path):
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.jpg").write_bytes(b"")
    write_data_set(tmp_path, "val/a.jpg#0\tA cat\n")
    [reject] = dataset.read(Settings(str(tmp_path))).rejects
    assert reject.reason == Reason.MISSING_IMAGE
    assert reject.detail == "no such file; others of this name: 0/a.jpg, 1/a.jpg, 2/a.jpg, …"


def test_rows_that_disagree_about_a_split_are_refused_with_both_places(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\ntrain,b.jpg,one\n,b.jpg,two\ntest,b.jpg,three\n")
    with pytest.raises(ValueError, match=r"captions.csv:4: b.jpg is in test here, but in train at captions.csv:2"):
        dataset.read(Settings(str(tmp_path)))


def test_files_that_disagree_about_a_split_are_refused_with_both_places(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("image,caption\nb.jpg,one\n")
    with pytest.raises(ValueError, match=r"val.csv:2: b.jpg is in eval here, but in train at train.csv:2"):
        dataset.read(Settings(str(tmp_path)))
    # a list is more than the name of a file
    (tmp_path / "testImages.txt").write_text("b.jpg\n")
    with pytest.raises(ValueError, match=r"val.csv:2"):
        dataset.read(Settings(str(tmp_path)))
    (tmp_path / "val.csv").unlink()
    (tmp_path / "val.csv").write_text("image,caption\nc.jpg,one\n")
    assert [entry.split for entry in dataset.read(Settings(str(tmp_path))).entries] == ["test"]


def test_rows_and_lists_that_disagree_are_refused(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\ntrain,b.jpg,one\n")
    (tmp_path / "testImages.txt").write_text("images/b.jpg\n")
    with pytest.raises(ValueError, match=r"captions.csv:2: b.jpg is in train here, but in the test list"):
        dataset.read(Settings(str(tmp_path)))


def test_a_list_of_other_pictures_is_warned_of(data_dir):
    assert dataset.read(Settings(str(data_dir))).warnings == ()
    (data_dir / "testImages.txt").write_text("x.jpg\ny.jpg\nc.jpg\n")
    [warning] = dataset.read(Settings(str(data_dir))).warnings
    assert warning.startswith("testImages.txt names 3 pictures, and the captions know 1 of them")


def test_a_list_may_have_paths_where_captions_have_names(data_dir):
    (data_dir / "testImages.txt").write_text("/home/me/images/c.jpg\n")
    splits = {entry.image_id: entry.split for entry in dataset.read(Settings(str(data_dir))).entries}
    assert splits == {"a.jpg": "train", "b.jpg": "eval", "c.jpg": "test", "new.jpg": "train"}


def test_captions_beyond_the_schemas_number_are_one_reject(data_dir):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.writelines(f"a.jpg#{number}\tone more\n" for number in range(2, 103))
    data = dataset.read(Settings(str(data_dir)))
    assert len(data.entries[0].captions) == 100
    [reject] = [reject for reject in data.rejects if reject.reason == Reason.TOO_MANY_CAPTIONS]
    assert (reject.image_id, reject.line, reject.rows, reject.source) == ("a.jpg", 109, 3, "captions.token.txt")
    assert reject.detail == "103 captions, of which the first 100 are taken"
    assert data.rows == 111


def test_what_the_ingest_takes_is_what_the_schema_allows():
    schema = text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())
    feature = {each.name: each for each in schema.feature}
    assert feature["captions"].value_count.max == feature["caption_words"].value_count.max == gathering.MAX_CAPTIONS
    assert feature["caption_words"].int_domain.max == readers.MAX_WORDS
    for side in ("width", "height"):
        assert (feature[side].int_domain.min, feature[side].int_domain.max) == (images.MIN_SIDE, images.MAX_SIDE)


def test_a_split_that_a_later_row_names_counts(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\n,b.jpg,one\ntest,b.jpg,two\n")
    [entry] = dataset.read(Settings(str(tmp_path))).entries
    assert entry.split == "test"


def test_a_limit_takes_the_same_pictures_each_time_and_a_larger_one_more(data_dir):
    chosen = [{entry.image_id for entry in dataset.read(Settings(str(data_dir), limit=n)).entries} for n in (1, 2, 3)]
    assert [len(ids) for ids in chosen] == [1, 2, 3]
    assert chosen[0] < chosen[1] < chosen[2]
    first, *_ = sorted(("a.jpg", "b.jpg", "c.jpg", "new.jpg"), key=lambda name: splits.unit_hash(name, "limit"))
    assert chosen[0] == {first} != {"a.jpg"}  # by hash, and not by name


def test_the_fingerprint_opens_no_picture(data_dir, monkeypatch):
    opened = []
    real = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", lambda path, *args, **kw: opened.append(path) or real(path, *args, **kw))
    monkeypatch.setattr("builtins.open", lambda *args, **kw: pytest.fail(f"{args} opened"))
    dataset.fingerprint(Settings(str(data_dir)))
    assert opened and not any("images" in path.parts for path in opened)


def test_the_fingerprint_sees_every_change_that_matters(data_dir):
    def fingerprint():
        return dataset.fingerprint(Settings(str(data_dir)))

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    (data_dir / "images" / "unrelated.jpg").write_bytes(b"nobody names it")
    assert fingerprint() == seen[0]

    (data_dir / "images" / "a.jpg").write_bytes(b"longer than before")
    seen.append(fingerprint())
    os.utime(data_dir / "images" / "b.jpg", ns=(7, 7))
    seen.append(fingerprint())
    (data_dir / "images" / "gone.jpg").write_bytes(b"back again")
    seen.append(fingerprint())
    (data_dir / "testImages.txt").write_text("c.jpg\nnew.jpg\n")
    seen.append(fingerprint())
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("a.jpg#2\tone more\n")
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)


def test_the_fingerprint_sees_why_a_picture_is_not_taken(data_dir):
    seen = [dataset.fingerprint(Settings(str(data_dir)))]
    for name in ("one", "two"):  # first another picture may be meant, then several
        (data_dir / name).mkdir()
        (data_dir / name / "gone.jpg").write_bytes(name.encode() * (1 if name == "one" else 2))
        seen.append(dataset.fingerprint(Settings(str(data_dir))))
    (data_dir / "three").mkdir()
    (data_dir / "three" / "gone.jpg").write_bytes(b"3")
    [reject] = dataset.read(Settings(str(data_dir))).rejects
    assert (reject.reason, reject.detail[:7]) == (Reason.AMBIGUOUS_NAME, "3 files")
    seen.append(dataset.fingerprint(Settings(str(data_dir))))
    assert len(set(seen)) == len(seen)


def test_names_may_be_written_as_on_windows(data_dir):
    (data_dir / "captions.token.txt").write_text("images\\a.jpg#0\tA dog\n.\\images\\a.jpg#1\tA hound\n")
    [entry] = dataset.read(Settings(str(data_dir))).entries
    assert (entry.image_id, entry.split, entry.captions) == ("images/a.jpg", "train", ("A dog", "A hound"))
    (data_dir / "b\\c.jpg").write_bytes(b"")  # a name that has such a letter
    (data_dir / "captions.token.txt").write_text("b\\c.jpg#0\tA cat\n")
    [entry] = dataset.read(Settings(str(data_dir))).entries
    assert entry.file.uri == "b\\c.jpg"


def test_the_fingerprint_tells_the_lists_apart(data_dir):
    before = dataset.fingerprint(Settings(str(data_dir)))
    (data_dir / "trainImages.txt").unlink()
    without = dataset.fingerprint(Settings(str(data_dir)))
    (data_dir / "testImages.txt").rename(data_dir / "trainImages.txt")
    assert len({before, without, dataset.fingerprint(Settings(str(data_dir)))}) == 3


def test_a_name_that_is_not_utf_8_hinders_nothing(data_dir):
    before = dataset.fingerprint(Settings(str(data_dir)))
    (data_dir / os.fsdecode(b"caf\xe9")).mkdir()
    (data_dir / os.fsdecode(b"caf\xe9") / "gone.jpg").write_bytes(b"")
    assert dataset.fingerprint(Settings(str(data_dir))) == before
    [reject] = dataset.read(Settings(str(data_dir))).rejects
    assert (reject.image_id, reject.reason) == ("gone.jpg", Reason.MISSING_IMAGE)


def test_losses_are_measured_against_the_captions_of_the_pictures_taken(data_dir):
    names = [f"{number}.jpg" for number in range(100)]
    write_data_set(data_dir, "".join(f"{name}#0\tA dog\n" for name in names))
    for name in names:
        (data_dir / "images" / name).write_bytes(b"")

    def check(limit, bad, allowed):
        data = dataset.read(Settings(str(data_dir), limit=limit))
        found = {entry.image_id: Inspected("sha", 4, 3) for entry in data.entries}
        found |= {entry.image_id: Inspected("sha", fault="truncated") for entry in data.entries[:bad]}
        dataset.check_losses(data, dataset.sift(data.entries, found)[1], allowed)

    check(limit=None, bad=1, allowed=0.01)
    check(limit=20, bad=2, allowed=0.1)
    with pytest.raises(TooManyRejects, match=r"^18 of 20 captions \(90.0%\)"):
        check(limit=20, bad=18, allowed=0.2)
    with pytest.raises(TooManyRejects, match=r"^2 of 100 captions"):
        check(limit=None, bad=2, allowed=0.01)


def test_lost_lines_count_against_all_captions(data_dir):
    data = dataset.read(Settings(str(data_dir), limit=1))
    dataset.check_losses(data, [], allowed=0.2)
    with pytest.raises(TooManyRejects, match=r"^2 of 10 captions"):
        dataset.check_losses(data, [], allowed=0.19)


def test_names_may_be_relative_to_the_file_that_they_stand_in(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "0.png").write_bytes(b"")
        (tmp_path / split / "metadata.jsonl").write_text(f'{{"file_name": "0.png", "text": "in {split}"}}\n')
    data = dataset.read(Settings(str(tmp_path)))
    assert [(entry.image_id, entry.captions, entry.source) for entry in data.entries] == [
        ("test/0.png", ("in test",), "test/metadata.jsonl"),
        ("train/0.png", ("in train",), "train/metadata.jsonl"),
    ]
    assert data.official and data.entries[0].split == "test"


def test_a_picture_may_lie_elsewhere_than_its_name_says(data_dir):
    images = [{"filename": "a.jpg", "filepath": "val2014", "sentences": [{"raw": "A dog"}], "split": "train"}]
    (data_dir / "dataset.json").write_text(json.dumps({"images": images}))
    [entry] = dataset.read(Settings(str(data_dir), captions="dataset.json")).entries
    assert (entry.image_id, entry.file.uri, entry.split) == ("val2014/a.jpg", "images/a.jpg", "train")


def test_lists_may_leave_out_directory_and_suffix(tmp_path):
    write_data_set(tmp_path, "images/a.jpg#0\tA dog\nb.jpg#0\tA cat\n", {"train": ["a"], "test": ["b"]})
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(b"")
    splits = {entry.image_id: entry.split for entry in dataset.read(Settings(str(tmp_path))).entries}
    assert splits == {"images/a.jpg": "train", "b.jpg": "test"}


def test_rejects_name_the_file_and_the_line(data_dir):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("nonsense\n")
    rejects = dataset.read(Settings(str(data_dir))).rejects
    assert {(reject.source, reject.line) for reject in rejects} == {
        ("captions.token.txt", 9),
        ("captions.token.txt", 11),
    }


def twins(data_dir, official):
    entries = dataset.read(Settings(str(data_dir))).entries
    found = {
        entry.image_id: Inspected("same" if entry.image_id in ("a.jpg", "c.jpg") else entry.image_id)
        for entry in entries
    }
    return dataset.part_twins(entries, found, official)


def test_the_same_picture_is_not_in_two_official_splits(data_dir):
    stay, [gone] = twins(data_dir, official=True)
    assert [entry.image_id for entry in stay] == ["b.jpg", "c.jpg", "new.jpg"]
    assert (gone.image_id, gone.reason, gone.rows) == ("a.jpg", Reason.DUPLICATE, 2)
    assert gone.detail == "the same picture as c.jpg in test"


def test_the_same_picture_moves_to_its_twin_where_splits_are_drawn(data_dir):
    stay, gone = twins(data_dir, official=False)
    assert gone == []
    splits = {entry.image_id: entry.split for entry in stay}
    assert splits == {"a.jpg": "test", "b.jpg": "eval", "c.jpg": "test", "new.jpg": "train"}


def test_sift_turns_faults_into_rejects(data_dir):
    entries = dataset.read(Settings(str(data_dir))).entries
    found = {entry.image_id: Inspected("sha", 4, 3) for entry in entries}
    found["b.jpg"] = Inspected("sha", fault="truncated", detail="3 bytes missing")
    found["c.jpg"] = None
    usable, rejects = dataset.sift(entries, found)
    assert [entry.image_id for entry in usable] == ["a.jpg", "new.jpg"]
    assert [(reject.image_id, reject.reason, reject.rows) for reject in rejects] == [
        ("b.jpg", Reason.TRUNCATED, 2),
        ("c.jpg", Reason.MISSING_IMAGE, 2),
    ]


def test_settings_come_from_execution_properties():
    properties = {"data_dir": "d", "captions": "", "limit": 0, "unlisted": "skip"}
    properties["split_shares"] = '{"train": 1, "eval": 0, "test": 0}'
    assert Settings.of(properties) == Settings("d", None, None, "skip", {"train": 1, "eval": 0, "test": 0})
