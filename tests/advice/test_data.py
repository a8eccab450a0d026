"""What errors about data advise, done."""

import hashlib
import json
import pathlib
import re

import pytest

from components.caption_ingest import dataset
from components.caption_ingest.dataset import CaptionedImage, DataSet, check_no_empty_split
from components.caption_ingest.formats import json_files
from components.caption_ingest.formats.base import Source
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.parquet import Parquet
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.layout import find_layout
from components.caption_ingest.rejects import Reason, check_fraction, reject_image
from components.caption_ingest.settings import CaptionIngestSettings, Columns
from components.caption_ingest.spans import newest
from components.caption_ingest.split_lists import SplitLists
from components.example_validator.validation import Problem, check
from components.shared import scenes
from components.shared.images import limits, reading, tar_files
from components.shared.images.ingested import IngestedImage, read_verified
from components.shared.images.inspection import inspect
from pipeline.cli.main import main
from pipeline.config import check_paths
from pipeline.config_files import load
from pipeline.data_survey import survey
from tests.containers import hf_image, write_parquet, write_tar
from tests.factories import encode, write_data_set
from tests.messages import filled_in, refusal

LINE = "a.jpg#0\tA dog\n"
TABLE = "image,caption\na.jpg,A dog\n"
COCO = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog"}]}


def read(directory: pathlib.Path, **settings) -> DataSet:
    return dataset.read(CaptionIngestSettings(dir=str(directory), **settings))


@pytest.mark.parametrize("refuse", [lambda path: check_paths(load(None, [f"data.dir={path}"])), find_layout])
def test_a_directory_that_was_missing_is_created(tmp_path, refuse):
    path = tmp_path / "data"
    with refusal("data.dir: … is not a directory") as advice:
        refuse(str(path))
    pathlib.Path(advice[0]).mkdir()
    (path / "captions.csv").write_text(TABLE)
    refuse(str(path))


def test_a_span_is_a_numbered_directory_in_the_last_part(tmp_path):
    with refusal("data.dir: no data directory"):
        newest(None)
    assert newest(str(tmp_path)) == str(tmp_path)
    with refusal("data.dir: … may contain … only once, in its last part") as advice:
        newest(f"{tmp_path}/{{SPAN}}/day-{{SPAN}}")
    pattern = f"{tmp_path}/day-{advice[1]}"
    with refusal("data.dir: there is no directory … with a number for …") as advice:
        newest(pattern)
    pathlib.Path(advice[0].replace(advice[1], "7")).mkdir()
    assert newest(pattern) == f"{tmp_path}/day-7"


def test_captions_like_one_of_the_examples_are_found(tmp_path):
    with refusal("data.dir: no captions …. Known formats:\n…") as advice:
        find_layout(str(tmp_path))
    assert advice[0] == f"in {tmp_path} or one level below it"
    with pytest.raises(FileNotFoundError) as error:
        find_layout(str(tmp_path))
    examples = re.findall(r"lines `(.+?)`", str(error.value))
    assert len(examples) == 2
    for number, example in enumerate(examples):
        directory = tmp_path / str(number)
        directory.mkdir()
        line = example.replace("<TAB>", "\t").replace(" NAME,", ' "a.jpg",').replace("TEXT", '"A dog"')
        (directory / "captions").write_text(f"{line}\n")
        assert find_layout(str(directory)).captions


def test_a_file_with_an_unknown_format_is_mended_or_not_chosen(tmp_path):
    (tmp_path / "captions_test.csv").write_text(TABLE)
    (tmp_path / "captions_train.csv").write_text(f"Captions of Flickr\n{TABLE}")
    with refusal(
        "data.dir: … has no captions in a known format, although …; check its first lines, or choose the files with "
        "data.caption_files=PATTERN"
    ) as advice:
        find_layout(str(tmp_path))
    assert find_layout(str(tmp_path), "captions_test*").captions
    pathlib.Path(advice[0]).write_text(TABLE)
    assert len(find_layout(str(tmp_path)).captions) == 2


def test_each_of_the_files_in_several_formats_can_be_chosen(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE)
    (tmp_path / "captions.txt").write_text(LINE)
    with pytest.raises(ValueError) as error:
        find_layout(str(tmp_path))
    with refusal("data.dir: captions in several formats in …; choose one with data.caption_files=FILE:…"):
        find_layout(str(tmp_path))
    files = re.findall(r"^  (\S+): ", str(error.value), re.MULTILINE)
    assert len(files) == 2
    for file in files:
        assert [each.source.path.name for each in find_layout(str(tmp_path), file).captions] == [file]


def test_one_of_several_files_is_chosen_or_all_are_named_after_their_splits(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(TABLE)
    with refusal(
        "data.dir: several caption files in …: …. Several are only used if each name contains train, val or test; keep "
        "one, or choose one with data.caption_files=FILE"
    ) as advice:
        find_layout(str(tmp_path))
    for file in advice[1].split(", "):
        assert find_layout(str(tmp_path), file).captions
    for file, split in zip(advice[1].split(", "), ("train", "val"), strict=True):
        (tmp_path / file).rename(tmp_path / f"{split}.csv")
    assert len(find_layout(str(tmp_path)).captions) == 2


def test_one_of_two_spellings_of_the_captions_is_chosen_or_kept(tmp_path):
    texts = {"train_a.csv": "image,caption\na.jpg,A dog.\n", "train_b.csv": "image,caption\na.jpg,a dog .\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with refusal(
        "data.dir: … repeats the captions of … with other case, punctuation or blanks; keep one of the files, or "
        "choose with data.caption_files=FILE"
    ) as advice:
        dataset.read(CaptionIngestSettings(dir=str(tmp_path)))
    assert dataset.read(CaptionIngestSettings(dir=str(tmp_path), caption_files=advice[1])).num_captions == 1
    (tmp_path / advice[0]).unlink()
    assert dataset.read(CaptionIngestSettings(dir=str(tmp_path))).num_captions == 1


def test_one_of_two_annotations_of_the_same_images_is_chosen_or_both(tmp_path):
    for language, text in {"de": "Ein Hund rennt", "en": "A dog runs"}.items():
        (tmp_path / f"train_{language}.csv").write_text(f"image,caption\na.jpg,{text}\n")
    (tmp_path / "a.jpg").write_bytes(b"a")
    with refusal(
        "data.dir: … and … both have captions of the same … images, as two languages or versions do, and would be "
        "mixed; choose with data.caption_files=PATTERN, which may match both"
    ) as advice:
        dataset.read(CaptionIngestSettings(dir=str(tmp_path)))
    for pattern, num_captions in {advice[1]: 1, "*.csv": 2}.items():
        assert (
            dataset.read(CaptionIngestSettings(dir=str(tmp_path), caption_files=pattern)).num_captions == num_captions
        )


def test_one_of_several_lists_is_kept(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE)
    for name in ("train.txt", "trainImages.txt"):
        (tmp_path / name).write_text("a.jpg\n")
    with refusal("data.dir: several … split lists in …: …; keep one") as advice:
        find_layout(str(tmp_path))
    _, *others = map(pathlib.Path, advice[2].split(", "))
    for other in others:
        other.unlink()
    assert find_layout(str(tmp_path)).lists


def test_a_list_without_a_split_gets_a_name_or_is_moved_elsewhere(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "captions.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\n")
    (data / "holdout.txt").write_text("b.jpg\n")
    settings = CaptionIngestSettings(dir=str(data))
    with refusal(
        "data.dir: … names … of … images of the captions, as a split list does, but states no split; give it a name "
        "with train, val or test, or move it elsewhere"
    ) as advice:
        dataset.read(settings)
    path = pathlib.Path(advice[0])
    path.rename(data / "holdout_test.txt")
    assert dataset.read(settings).layout.lists.keys() == {"test"}
    (data / "holdout_test.txt").rename(tmp_path / "holdout.txt")
    assert not dataset.read(settings).layout.lists


def test_a_link_is_replaced_by_the_file(tmp_path):
    (tmp_path / "elsewhere").write_text("a.jpg\n")
    data = tmp_path / "data"
    data.mkdir()
    (data / "captions.csv").write_text(TABLE)
    (data / "train.txt").symlink_to("../elsewhere")
    with refusal(
        "data.dir: … is a link that points outside the data directory; data.allow_links=true takes it"
    ) as advice:
        find_layout(str(data))
    assert find_layout(str(data), allow_links=True).lists
    link = pathlib.Path(advice[0])
    text = link.read_text()
    link.unlink()
    link.write_text(text)
    assert find_layout(str(data)).lists


def test_a_pattern_is_relative_to_the_data_directory(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE)
    with refusal("data.caption_files: … points outside the data directory") as advice:
        find_layout(str(tmp_path), f"{tmp_path}/captions.csv")
    assert find_layout(str(tmp_path), str(pathlib.Path(advice[0]).relative_to(tmp_path))).captions


def test_a_file_with_a_strange_name_is_renamed(tmp_path):
    path = tmp_path / "cap\x1btions.csv"
    path.write_text(TABLE)
    with refusal("data.caption_files: the name … is not UTF-8 or contains control characters") as advice:
        find_layout(str(tmp_path), "*.csv")
    assert advice[0] == ascii(path.name)
    path.rename(tmp_path / "captions.csv")
    assert find_layout(str(tmp_path), "*.csv").captions


def test_a_large_file_is_divided_into_one_per_split(tmp_path, monkeypatch):
    both = {key: [*COCO[key], *COCO[key]] for key in COCO}
    path = tmp_path / "all.json"
    path.write_text(json.dumps(both))
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", len(json.dumps(COCO)))
    with refusal("…: … bytes; the maximum is …. Divide it into several files, one per split"):
        list(Coco().read(Source(path)))
    path.unlink()
    for split in ("train", "test"):
        (tmp_path / f"{split}.json").write_text(json.dumps(COCO))
    layout = find_layout(str(tmp_path))
    assert [file.split for file in layout.captions] == ["test", "train"]
    assert all(len(list(layout.format.read(file.source))) == 1 for file in layout.captions)


BROKEN = {
    "…:…: not JSON: …, at character …": b'{"images": [\n{"id": 9,}]}',
    "…: not … at byte …; …": b'{"images": "caf\xe9"}',
    "…: the JSON can't be read: …": b'{"images": ' + b"[" * 100_000,
    "…: not a JSON object": b"[]",
    '…: no list "…"': b'{"images": 3}',
}


def read_broken(path: pathlib.Path, text: bytes, mended: bytes) -> None:
    path.write_bytes(mended)
    assert list(Coco().read(Source(path)))
    path.write_bytes(text)
    list(Coco().read(Source(path)))


def test_a_broken_document_is_mended_where_the_error_says(tmp_path):
    path, sound = tmp_path / "captions.json", json.dumps(COCO).encode()
    with refusal("…:…: not JSON: …, at character …") as advice:
        read_broken(path, BROKEN["…:…: not JSON: …, at character …"], sound)
    assert advice[:2] == [str(path), "2"]
    with refusal("…: not … at byte …; …") as advice:
        read_broken(path, BROKEN["…: not … at byte …; …"], sound)
    assert BROKEN["…: not … at byte …; …"][int(advice[2])] == 0xE9
    with refusal("…: the JSON can't be read: …"):
        read_broken(path, BROKEN["…: the JSON can't be read: …"], sound)
    with refusal("…: not a JSON object"):
        read_broken(path, BROKEN["…: not a JSON object"], sound)
    with refusal('…: no list "…"') as advice:
        read_broken(path, BROKEN['…: no list "…"'], sound)
    assert advice[1] in COCO


def read_list(path: pathlib.Path, data: bytes) -> SplitLists:
    path.write_bytes(data)
    return SplitLists({"train": Source(path)})


def test_the_line_of_a_list_that_is_no_name_is_removed(tmp_path):
    path = tmp_path / "train.txt"
    with refusal("…:…: not …; …") as advice:
        read_list(path, b"a.jpg\ncaf\xe9.jpg\n")
    assert advice[:2] == [str(path), "2"]
    with refusal("…:…: … contains a tab; expected one name per line") as advice:
        read_list(path, b"0\ta.jpg\n1\tb.jpg\n")
    assert advice == [str(path), "1", repr("0\ta.jpg")]
    with refusal("…:…: the name contains control characters") as advice:
        read_list(path, b"a.jpg\na\x1b[2J.jpg\n")
    assert advice == [str(path), "2"]
    with refusal("…:…: … characters, too long for the name of an image") as advice:
        read_list(path, b"a.jpg\n" + b"a/" * 600)
    assert advice[:2] == [str(path), "2"]
    assert read_list(path, b"a.jpg\n").names == {"a.jpg": "train"}


def test_an_image_is_removed_from_one_of_two_lists(tmp_path):
    lists = {split: Source(tmp_path / f"{split}.txt") for split in ("train", "test")}
    for source in lists.values():
        source.path.write_text("a.jpg\n")
    with refusal("…:…: … is already in the … split list") as advice:
        SplitLists(lists)
    file, line, name, _ = advice
    pathlib.Path(file).write_text("b.jpg\n")
    assert (line, SplitLists(lists).names[name]) == ("1", "train")


def test_rows_that_disagree_about_a_split_are_corrected(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    path = tmp_path / "captions.csv"
    path.write_text("split,image,caption\ntrain,b.jpg,one\ntest,b.jpg,three\n")
    with refusal("…:…: … is in … here, but in … at …:…") as advice:
        read(tmp_path)
    assert advice == ["captions.csv", "3", "b.jpg", "test", "train", "captions.csv", "2"]
    path.write_text(path.read_text().replace("test,", "train,"))
    assert [image.split for image in read(tmp_path).images] == ["train"]
    (tmp_path / "testImages.txt").write_text("b.jpg\n")
    with refusal("…: … is in … here, but in the … split list") as advice:
        read(tmp_path)
    path.write_text(path.read_text().replace("train,", f"{advice[3]},"))
    assert [image.split for image in read(tmp_path).images] == ["test"]


def captioned(number: int, split: str) -> CaptionedImage:
    return CaptionedImage(f"{number}.jpg", split, ImageFile(f"{number}.jpg", 1, 1), ("A dog",), "captions.csv", 1)


def test_more_images_fill_the_empty_split():
    images = [captioned(1, "train"), captioned(2, "eval")]
    with refusal(
        "no image is left for the … split (… images in total): provide more images, a higher data.max_images, or other "
        "data.split_fractions"
    ) as advice:
        check_no_empty_split(images, ())
    check_no_empty_split([*images, captioned(3, advice[0])], ())


def test_captions_that_state_the_empty_split_fill_it(tmp_path):
    rows = ["0.jpg,A dog,val", "1.jpg,A dog,test"]
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(["image,caption,split", *rows]))
    data = read(tmp_path)
    with refusal(
        "no image is left for the … split (… images in total; the data itself states …): provide images whose captions "
        "or split list state it, or a higher data.max_images"
    ) as advice:
        check_no_empty_split(data.images, data.stated_splits)
    path.write_text("\n".join(["image,caption,split", *rows, f"2.jpg,A dog,{advice[0]}"]))
    data = read(tmp_path)
    check_no_empty_split(data.images, data.stated_splits)


def test_the_limit_of_rejects_is_raised_or_the_data_fixed():
    rejects = [reject_image(captioned(1, "train"), Reason.TRUNCATED, "cut off")]
    with refusal(
        "… of … captions (…) can't be used; data.max_reject_fraction allows …. Fix the data, or raise the limit if "
        "this is intended.…"
    ) as advice:
        check_fraction(rejects, 10, 0.01)
    limit = float(advice[2].removesuffix("%")) / 100
    check_fraction(rejects, 10, load(None, [f"data.max_reject_fraction={limit}"]).data.max_reject_fraction)
    check_fraction([], 10, 0.01)


def write_images(directory: pathlib.Path, num_images: int) -> None:
    write_data_set(directory, "".join(f"s{number}.jpg#0\tA dog\n" for number in range(num_images)))
    for number in range(num_images):
        (directory / f"s{number}.jpg").write_bytes(scenes.jpeg(0, number))


def test_a_first_config_is_written_for_images_with_captions(tmp_path, capsys):
    data, output = tmp_path / "data", tmp_path / "data.yaml"
    data.mkdir()
    with refusal("… is empty; give a directory with images and their captions"):
        survey(str(data))
    write_images(data, 1)
    with refusal("…: no usable image for …"):
        survey(str(data))
    write_images(data, 6)
    assert survey(str(data)).total_images == 6
    command = ["init", str(data), "--no-probe", "--output"]
    assert main([*command, str(output)]) == 0
    assert main([*command, str(output)]) == 2
    filled_in("… exists; overwrite it with --force, or name another with --output", capsys.readouterr().err)
    assert main([*command, str(output), "--force"]) == main([*command, f"{tmp_path}/other.yaml"]) == 0


def test_drift_only_warns_if_the_setting_says_so_and_mended_data_passes():
    drift = Problem("train", "width", "High distance", "0.4", None, 10, False)
    message = "drift or skew exceeds the schema's thresholds (anomalies: …; data.on_drift=warn only warns):\n…"
    with refusal(message):
        check([drift], "fail")
    [setting] = re.findall(r"data\.on_drift=\w+", message)
    check([drift], load(None, [setting]).data.on_drift)
    with refusal("the data violates the schema (anomalies: …):\n…"):
        check([Problem("train", "width", "Out of range", "0", 1, 10, True)], "warn")
    check([], "fail")


def test_an_image_of_another_size_or_format_is_accepted(image, monkeypatch):
    with refusal("…x… pixels, a side under …") as advice:
        inspect(encode(image.resize((4, 40))))
    assert inspect(encode(image.resize((int(advice[2]), 40))))
    with refusal("not one of …: it begins with …") as advice:
        inspect(encode(image, "PPM"))
    for kind in advice[0].split(", "):
        assert inspect(encode(image, kind))
    monkeypatch.setattr(limits, "MAX_PIXELS", 1300)
    with refusal("…x… pixels, more than …") as advice:
        inspect(encode(image.resize((80, 60))))
    with refusal("…, more than …"):
        inspect(encode(image, "GIF", save_all=True, append_images=[image.rotate(180)]))
    assert inspect(encode(image, "GIF")) == (40, 30) and int(advice[2]) >= 40 * 30
    monkeypatch.setattr(limits, "MAX_SIDE", 35)
    with refusal("…x… pixels, a side over …") as advice:
        inspect(encode(image))
    assert inspect(encode(image.resize((int(advice[2]), 30))))
    monkeypatch.setattr(limits, "MAX_BYTES", len(encode(image.resize((16, 16)))))
    with refusal("… bytes, more than …"):
        inspect(encode(image.resize((30, 30))))
    assert inspect(encode(image.resize((16, 16))))


def test_an_image_that_has_changed_is_ingested_by_the_next_run(tmp_path):
    path = tmp_path / "a.jpg"

    def ingest() -> IngestedImage:
        return IngestedImage(str(path), hashlib.sha256(path.read_bytes()).hexdigest())

    path.write_bytes(b"before")
    ingested = ingest()
    path.write_bytes(b"after")
    with refusal("… has changed since it was ingested; run again"):
        next(read_verified([ingested]))
    assert next(read_verified([ingest()])) == b"after"
    path.unlink()
    path.mkdir()
    with refusal("… cannot be read (…); run again"):
        next(read_verified([ingested]))
    path.rmdir()
    path.write_bytes(b"restored")
    assert next(read_verified([ingest()])) == b"restored"


WESTERN = "image,caption\na.jpg,Un garçon\nb.jpg,Une fille près d'un arbre\n"


def test_a_table_in_another_encoding_is_read_in_the_one_that_the_error_names(tmp_path):
    (tmp_path / "captions.csv").write_text(WESTERN, encoding="cp1252")
    with refusal("…; data.encoding=utf-8 rejects these lines alone") as advice:
        read(tmp_path)
    assert f"{tmp_path / 'captions.csv'}:2: the file is not in UTF-8: 2 lines" in advice[0]
    [encoding] = re.findall(r"set data.encoding=(\S+)$", advice[0])
    rejects = read(tmp_path, encoding=encoding).rejects
    assert {reject.reason for reject in rejects} == {Reason.MISSING_IMAGE}
    rejects = read(tmp_path, encoding="utf-8").rejects
    assert {reject.reason for reject in rejects} == {Reason.BAD_ENCODING}


def test_a_table_in_utf_16_is_read_in_the_one_that_the_error_names(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE, encoding="utf-16-le")
    with refusal("data.dir: … has captions in …, without a byte-order mark; set data.encoding=…") as advice:
        read(tmp_path)
    assert read(tmp_path, encoding=advice[2]).num_captions == 1


def test_another_name_of_an_encoding_is_taken(tmp_path):
    with refusal("… is no text encoding; for example utf-8, cp1252, gb18030, utf-16-le") as advice:
        CaptionIngestSettings(dir=str(tmp_path), encoding="windows")
    assert "'windows'" in advice[0]
    assert CaptionIngestSettings(dir=str(tmp_path), encoding="windows-1252").encoding


@pytest.mark.parametrize(
    ("message", "damage"),
    [
        ("the archive is cut at byte …, in …", lambda data: data[:3000]),
        ("the header at byte … is damaged", lambda data: data[:2048] + b"x" + data[2049:]),
        ("…: …. Download it again, or write it again", lambda data: data[:4096]),
    ],
)
def test_a_damaged_archive_is_written_again(tmp_path, message, damage):
    members = [(f"{key}.{extension}", "a dog") for key in "ab" for extension in ("jpg", "txt")]
    path = write_tar(tmp_path / "0.tar", members)
    data = path.read_bytes()
    path.write_bytes(damage(data))
    with refusal(message):
        read(tmp_path)
    path.write_bytes(data)
    assert len(read(tmp_path).images) == 2


def test_two_joined_archives_are_made_two_files(tmp_path):
    paths = [write_tar(tmp_path / f"{key}.tar", [(f"{key}.jpg", b"i"), (f"{key}.txt", "a dog")]) for key in "ab"]
    first, second = (path.read_bytes() for path in paths)
    paths[0].write_bytes(first + second)
    with refusal("something follows its end; a second archive must be a file of its own"):
        read(tmp_path)
    paths[0].write_bytes(first)
    assert len(read(tmp_path).images) == 2


def test_a_large_archive_is_divided(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_files, "MAX_MEMBERS", 2)
    members = [[(f"{key}.jpg", b"i"), (f"{key}.txt", "a dog")] for key in "ab"]
    write_tar(tmp_path / "0.tar", [*members[0], *members[1]])
    with refusal("more than … members, too many for one archive"):
        read(tmp_path)
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", members[number])
    assert len(read(tmp_path).images) == 2


def test_a_cut_parquet_file_is_written_again(tmp_path):
    columns = {"image": [hf_image(b"image")], "caption": ["a dog"]}
    path = write_parquet(tmp_path / "a.parquet", columns)
    path.write_bytes(path.read_bytes()[:-9])
    with refusal("it can't be read as Parquet (…)"):
        read(tmp_path)
    write_parquet(path, columns)
    assert len(read(tmp_path).images) == 1


def test_a_row_that_lost_its_image_is_ingested_anew(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"image": [hf_image(None, "1.jpg")], "caption": ["a dog"]})
    with refusal("row … has no image") as advice:
        reading.read_bytes(f"{path}/0")
    assert advice == ["0"] and [reject.reason for reject in read(tmp_path).rejects] == [Reason.MISSING_IMAGE]


def test_columns_that_are_not_clear_are_named(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet", {"image": [hf_image(b"image")], "english": ["a dog"], "german": ["ein Hund"]}
    )
    with refusal("…: which column has the …s is not clear; set data.columns.… to one of …") as advice:
        read(tmp_path)
    assert advice[1:3] == ["caption", "caption"] and "german (string)" in advice[3]
    [caption] = Parquet().read(Source(path, columns=Columns(**{advice[2]: "german"})))
    assert caption.text == "ein Hund"


def test_the_format_that_the_error_lists_is_taken(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE)
    with refusal("data.format: there is no format …; the formats are …") as advice:
        read(tmp_path, format="csv")
    assert advice[0] == "csv"
    assert read(tmp_path, format=re.findall(r"\btable\b", advice[1])[0]).num_captions == 1


def test_the_column_that_the_setting_names_is_read(tmp_path):
    (tmp_path / "captions.csv").write_text("image,photo_file,caption,text\na.jpg,b.jpg,A dog,A cat\n")
    with refusal("the columns … may both hold the …; choose one with data.columns.…=NAME") as advice:
        read(tmp_path)
    assert advice == ["'caption' and 'text'", "caption", "caption"]
    data = read(tmp_path, columns=Columns(caption=re.findall("'(.*?)'", advice[0])[1]))
    assert [reject.image_id for reject in data.rejects] == ["a.jpg"]


def test_words_are_joined_to_a_caption(tmp_path):
    record = {"image": "a.jpg", "caption": ["a", "dog", "runs"]}
    (tmp_path / "captions.jsonl").write_text(json.dumps(record))
    [reject] = read(tmp_path).rejects
    assert filled_in("a list of … single words is no list of captions: …; join them to a text", reject.detail)
    (tmp_path / "captions.jsonl").write_text(json.dumps(record | {"caption": " ".join(record["caption"])}))
    assert read(tmp_path).num_captions == 1


def test_a_header_is_added_to_further_columns(tmp_path):
    rows = "a.jpg\tA dog runs here\tA cat sits there\n"
    (tmp_path / "captions.tsv").write_text(rows)
    with refusal("no header, and … columns; add a first line that names them, such as …") as advice:
        read(tmp_path)
    assert advice == ["3", "image<TAB>caption<TAB>split"]
    (tmp_path / "captions.tsv").write_text("image\tcaption_0\tcaption_1\n" + rows)
    assert read(tmp_path).num_captions == 2


def test_a_list_that_was_cut_off_is_exported_again(tmp_path):
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,\"['A dog', 'A c\"\n")
    [reject] = read(tmp_path).rejects
    assert filled_in("a list that can't be read: …", reject.detail)
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,\"['A dog', 'A cat']\"\n")
    assert read(tmp_path).num_captions == 2
