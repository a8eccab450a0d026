"""Which file a name in the captions means, and when it means none."""

import json
import unicodedata
import urllib.parse

import hypothesis
import hypothesis.strategies as st
import pytest

from components.caption_ingest.files import Files
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.names import Spelling
from components.caption_ingest.rejects import Reason
from tests.factories import write_data_set


def test_a_missing_image_is_rejected_with_all_its_captions(data_dir, read):
    [reject] = read(data_dir).rejects
    assert (reject.image_id, reject.reason, reject.line, reject.rows) == ("gone.jpg", Reason.MISSING_IMAGE, 9, 2)


@pytest.mark.parametrize("name", ["../../x.jpg", "/etc/passwd", "images/../../x.jpg", "..\\x.jpg", "C:\\x.jpg"])
def test_names_that_lead_out_of_the_directory_are_rejected(tmp_path, name, read):
    write_data_set(tmp_path / "data", f"{name}#0\tA secret\n")
    [reject] = read(tmp_path / "data").rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR


@pytest.mark.parametrize(
    ("bad", "reason"), [("../x/0.jpg", Reason.OUTSIDE_DATA_DIR), ("/data/0.jpg", Reason.MISSING_IMAGE)]
)
def test_a_name_that_leads_out_claims_no_file(tmp_path, bad, reason, read):
    write_data_set(tmp_path, f"0.jpg#0\tA dog\n{bad}#0\tA secret\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.jpg").write_bytes(b"0")
    data = read(tmp_path)
    assert [image.image_id for image in data.images] == ["0.jpg"]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [(bad, reason)]


def _files(*paths):
    return Files.of({path: (ImageFile(path, size, 0), path) for size, path in enumerate(paths)})


@pytest.mark.parametrize(
    "name", ["/content/drive/train/images/a.jpg", r"C:\Users\me\images\A.JPG", r"\\nas\images\a.jpeg", "/images/a"]
)
def test_an_absolute_path_is_matched_by_its_longest_end(name):
    match = _files("images/a.jpg", "images/b.jpg").match(name, "captions.csv")
    assert match.file is not None and match.file.uri == match.portable_id == "images/a.jpg"
    assert match.spelling is Spelling.ABSOLUTE


def test_a_number_that_pandas_made_a_float_is_the_number():
    match = _files("images/100.jpg", "images/101.jpg").match("100.0", "captions.csv")
    assert match.file is not None and (match.file.uri, match.spelling) == ("images/100.jpg", Spelling.NUMBER)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/d/a/0.jpg", "a/0.jpg"),
        ("/d/x/b/0.jpg", "x/b/0.jpg"),
        ("/d/y/b/0.jpg", None),
        ("/d/x/a/0.jpg", "a/0.jpg"),
        ("/e/q/a/0.jpg", "p/q/a/0.jpg"),
        ("/d/../a/0.jpg", None),
    ],
)
def test_the_longest_end_of_an_absolute_path_decides(name, expected):
    files = _files("a/0.jpg", "p/q/a/0.jpg", "x/b/0.jpg", "z/b/0.jpg")
    match = files.match(name, "captions.csv")
    assert (match.file.uri if match.file else None) == expected


def test_an_absolute_path_is_warned_of_and_leaves_no_trace_in_ids(tmp_path, read):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("image,caption\n/home/me/images/a.jpg,A dog\n")
    data = read(tmp_path)
    assert [(image.image_id, image.file.uri) for image in data.images] == [("images/a.jpg", "images/a.jpg")]
    assert data.warnings == ("matched 1 images: 1 by the end of an absolute path",)


def test_an_absolute_path_never_opens_the_file_that_it_leads_to(tmp_path, read):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "captions.csv").write_text(f"image,caption\n{tmp_path}/secret.jpg,A secret\n")
    [reject] = read(tmp_path / "data").rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR
    assert reject.detail == "an absolute path, and no file of the data directory has its end"


def test_of_two_absolute_paths_the_one_with_the_longer_end_has_the_file(tmp_path, read):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("image,caption\n/d/b/0.jpg,A cat\n/d/a/0.jpg,A dog\n")
    data = read(tmp_path)
    assert [image.captions for image in data.images] == [("A dog",)]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [("/d/b/0.jpg", Reason.MISSING_IMAGE)]


def test_a_link_out_of_the_directory_is_rejected(tmp_path, read):
    write_data_set(tmp_path / "data", "link.jpg#0\tA secret\n")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "data" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    [reject] = read(tmp_path / "data").rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR
    way_out = "data.allow_links=true takes it"
    assert reject.detail == f"link.jpg is a link that points outside the data directory; {way_out}"
    [image] = read(tmp_path / "data", allow_links=True).images
    assert (image.file.uri, image.file.size) == ("link.jpg", 6)


def test_a_name_that_leads_out_is_rejected_even_where_links_may(tmp_path, read):
    write_data_set(tmp_path / "data", "../secret.jpg#0\tA secret\n")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    [reject] = read(tmp_path / "data", allow_links=True).rejects
    assert reject.reason == Reason.OUTSIDE_DATA_DIR


def test_a_changed_file_behind_a_link_alters_the_fingerprint(tmp_path, read):
    write_data_set(tmp_path / "data", "a.jpg#0\tA dog\n")
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "a.jpg").write_bytes(b"1")
    (tmp_path / "data" / "Images").symlink_to(tmp_path / "nas")
    before = read(tmp_path / "data", allow_links=True).fingerprint()
    assert read(tmp_path / "data", allow_links=True).fingerprint() == before
    (tmp_path / "nas" / "a.jpg").write_bytes(b"22")
    assert read(tmp_path / "data", allow_links=True).fingerprint() != before


def test_a_path_takes_precedence_over_a_file_name(tmp_path, read):
    (tmp_path / "crops").mkdir()
    for name in ("img.jpg", "crops/img.jpg"):
        (tmp_path / name).write_bytes(b"")
    write_data_set(tmp_path, "img.jpg#0\tA dog\n")
    [image] = read(tmp_path).images
    assert image.file.uri == "img.jpg"


def test_a_missing_image_does_not_get_another_file_of_its_name(tmp_path, read):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "0.png").write_bytes(b"")
    write_data_set(tmp_path, "train/0.png#0\tA dog\nval/0.png#0\tA cat\n./train/0.png#1\tA hound\n")
    data = read(tmp_path)
    [image], [reject] = data.images, data.rejects
    assert (image.image_id, image.captions) == ("train/0.png", ("A dog", "A hound"))
    assert (reject.image_id, reject.reason) == ("val/0.png", Reason.MISSING_IMAGE)


@pytest.mark.parametrize("sizes_differ", [True, False])
def test_one_name_in_two_caption_files_may_mean_two_images(tmp_path, sizes_differ, read):
    for split in ("train", "test"):
        for path in (f"images/{split}/0.png", f"images/{split}/{split}.png"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(split.encode() if sizes_differ else b"")
        (tmp_path / split).mkdir()
        names = ("0.png", "0.png", f"{split}.png", f"{split}/0.png")
        lines = "".join(f'{{"file_name": "{name}", "text": "{n}th in {split}"}}\n' for n, name in enumerate(names))
        (tmp_path / split / "metadata.jsonl").write_text(lines)
    data = read(tmp_path)
    assert [(image.image_id, image.file.uri, image.split) for image in data.images] == [
        ("test.png", "images/test/test.png", "test"),
        ("test/0.png", "images/test/0.png", "test"),  # the end of the path
        ("train.png", "images/train/train.png", "train"),
        ("train/0.png", "images/train/0.png", "train"),
    ]
    assert [(reject.source, reject.line, reject.reason, reject.rows) for reject in data.rejects] == [
        ("test/metadata.jsonl", 1, Reason.AMBIGUOUS_NAME, 2),
        ("train/metadata.jsonl", 1, Reason.AMBIGUOUS_NAME, 2),
    ]
    files = "images/test/0.png, images/train/0.png"
    expected = f"the name may mean 2 files: {files}; the captions must include the directory"
    assert data.rejects[0].detail == expected


def test_files_with_one_name_may_be_copies_of_one_image(tmp_path, read):
    for path in ("images/a.jpg", "images/images/a.jpg", "images/b.jpg", "images/images/b.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"1234")
    lists = {"train": ["b.jpg"], "test": ["images/images/a.jpg"]}
    write_data_set(tmp_path, "a.jpg#0\tA dog\na.jpg#1\tA hound\nb.jpg#0\tA cat\nval/a.jpg#0\tAnother\n", lists)
    data = read(tmp_path)
    assert [(image.image_id, image.file.uri, image.split) for image in data.images] == [
        ("a.jpg", "images/a.jpg", "test"),
        ("b.jpg", "images/b.jpg", "train"),
    ]
    assert [[file.uri for file in image.identical_files] for image in data.images] == [
        ["images/images/a.jpg"],
        ["images/images/b.jpg"],
    ]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [("val/a.jpg", Reason.MISSING_IMAGE)]


def test_a_link_that_leads_out_is_not_a_copy(tmp_path, read):
    (tmp_path / "data" / "x").mkdir(parents=True)
    for path in ("a.jpg", "data/x/a.jpg"):
        (tmp_path / path).write_bytes(b"1234")
    (tmp_path / "data" / "y").symlink_to(tmp_path)
    write_data_set(tmp_path / "data", "a.jpg#0\tA dog\n")
    [reject] = read(tmp_path / "data").rejects
    assert reject.reason == Reason.AMBIGUOUS_NAME


def test_two_images_do_not_share_a_file_that_neither_names(tmp_path, read):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(b"")
    write_data_set(tmp_path, "train/0.png#0\tA dog\nval/0.png#0\tA cat\n")
    data = read(tmp_path)
    assert not data.images and {reject.reason for reject in data.rejects} == {Reason.AMBIGUOUS_NAME}
    assert data.rejects[0].detail == "train/0.png and val/0.png do not exist, and both may mean images/0.png"


def test_a_missing_image_lists_other_files_with_its_name(tmp_path, read):
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.jpg").write_bytes(b"")
    write_data_set(tmp_path, "val/a.jpg#0\tA cat\n")
    [reject] = read(tmp_path).rejects
    assert reject.reason == Reason.MISSING_IMAGE
    assert reject.detail == "no such file; other files with this name: 0/a.jpg, 1/a.jpg, 2/a.jpg, …"


def test_names_may_be_written_as_on_windows(data_dir, read):
    (data_dir / "captions.token.txt").write_text("images\\a.jpg#0\tA dog\n.\\images\\a.jpg#1\tA hound\n")
    [image] = read(data_dir).images
    assert (image.image_id, image.split, image.captions) == ("images/a.jpg", "train", ("A dog", "A hound"))
    (data_dir / "b\\c.jpg").write_bytes(b"")  # a file name may contain a backslash
    (data_dir / "captions.token.txt").write_text("b\\c.jpg#0\tA cat\n")
    [image] = read(data_dir).images
    assert image.file.uri == "b\\c.jpg"


def test_names_may_be_relative_to_their_caption_file(tmp_path, read):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "0.png").write_bytes(b"")
        (tmp_path / split / "metadata.jsonl").write_text(f'{{"file_name": "0.png", "text": "in {split}"}}\n')
    data = read(tmp_path)
    assert [(image.image_id, image.captions, image.source) for image in data.images] == [
        ("test/0.png", ("in test",), "test/metadata.jsonl"),
        ("train/0.png", ("in train",), "train/metadata.jsonl"),
    ]
    assert data.is_official and data.images[0].split == "test"


def test_an_image_may_be_elsewhere_than_its_name_says(data_dir, read):
    images = [{"filename": "a.jpg", "filepath": "val2014", "sentences": [{"raw": "A dog"}], "split": "train"}]
    (data_dir / "dataset.json").write_text(json.dumps({"images": images}))
    [image] = read(data_dir, caption_files="dataset.json").images
    assert (image.image_id, image.file.uri, image.split) == ("val2014/a.jpg", "images/a.jpg", "train")


def test_captions_that_compose_a_name_differently_are_about_one_image(tmp_path, read):
    composed, decomposed = "\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "e\N{COMBINING ACUTE ACCENT}.jpg"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / decomposed).write_bytes(b"")
    lists = {"test": [composed]}
    write_data_set(tmp_path, f"{composed}#0\tA dog\n{decomposed}#1\tA hound\n", lists)
    data = read(tmp_path)
    [image] = data.images
    assert (image.image_id, image.captions, image.split) == (decomposed, ("A dog", "A hound"), "test")
    assert not data.rejects and not data.warnings


def test_a_name_in_another_case_gets_no_file_that_another_image_names(tmp_path, read):
    (tmp_path / "P10.jpg").write_bytes(b"")
    write_data_set(tmp_path, "p10.jpg#0\tA dog\n")
    assert [(image.image_id, image.file.uri) for image in read(tmp_path).images] == [("p10.jpg", "P10.jpg")]
    write_data_set(tmp_path, "p10.jpg#0\tA dog\nP10.jpg#0\tA cat\n")
    data = read(tmp_path)
    assert [image.image_id for image in data.images] == ["P10.jpg"]
    assert [(reject.image_id, reject.reason) for reject in data.rejects] == [("p10.jpg", Reason.MISSING_IMAGE)]


def test_an_image_that_a_test_list_may_mean_is_not_trained_on(tmp_path, read):
    for name in ("P10.jpg", "p10.jpg", "b.jpg", "c.JPG"):
        (tmp_path / name).write_bytes(b"")
    names = ("P10.jpg", "p10.jpg", "b.jpg", "c.JPG")
    lists = {"train": ["b.jpg"], "test": ["P10.JPG", "c.jpg"]}
    write_data_set(tmp_path, "".join(f"{name}#0\tA dog\n" for name in names), lists)
    data = read(tmp_path)
    assert [(image.image_id, image.split == "test") for image in data.images] == [("b.jpg", False), ("c.JPG", True)]
    assert {(reject.image_id, reject.reason) for reject in data.rejects} == {
        ("P10.jpg", Reason.AMBIGUOUS_NAME),
        ("p10.jpg", Reason.AMBIGUOUS_NAME),
    }
    assert "the split lists may mean it, or another image, by P10.JPG" in data.rejects[0].detail
    assert data.warnings[0].startswith("testImages.txt names 2 images, and the captions contain 1 of them, not 'P10")


@pytest.mark.parametrize(
    ("name", "path", "spelling"),
    [
        ("img0000", "images/img0000.jpg", Spelling.NO_SUFFIX),
        ("train/img0000", "train/img0000.PNG", Spelling.NO_SUFFIX),
        ("a.b", "images/a.b.tif", Spelling.NO_SUFFIX),
        ("IMG0000.jpg", "images/img0000.JPG", Spelling.CASE),
        ("cafe\N{COMBINING ACUTE ACCENT}.jpg", "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", Spelling.COMPOSITION),
        ("my%20photo.jpg", "my photo.jpg", Spelling.ESCAPES),
        ("my photo.jpg", "my%20photo.jpg", Spelling.ESCAPES),
        ("a%2Fmy%20photo.jpg", "a/my photo.jpg", Spelling.ESCAPES),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "caf#U00e9.jpg", Spelling.ESCAPES),  # by unzip
        ("cafe%CC%81", "images/caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", Spelling.NO_SUFFIX),
        ("a.jpeg", "images/a.jpg", Spelling.SUFFIX),
        ("a.tif", "images/a.TIFF", Spelling.SUFFIX),
        ("139", "val2017/000000000139.jpg", Spelling.NUMBER),
        ("139.jpg", "COCO_val2014_000000000139.jpg", Spelling.NUMBER),
        ("COCO_val2014_000000000139.jpg", "train2017/000000000139.jpg", Spelling.NUMBER),
        ("000000000139", "COCO_val2014_000000000139.jpg", Spelling.NUMBER),
    ],
)
def test_a_name_that_one_file_fits_means_it(tmp_path, name, path, spelling, read):
    write_data_set(tmp_path, f"{name}#0\tA dog\nb.jpg#0\tA cat\n")
    for file in (path, "b.jpg", "0139x.jpg"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    data = read(tmp_path)
    assert {image.image_id: image.file.uri for image in data.images}.items() >= {("b.jpg", "b.jpg")}
    assert {image.file.uri for image in data.images} == {path, "b.jpg"} and not data.rejects
    assert data.spellings == {Spelling.EXACT: 1, spelling: 1}
    is_told = spelling not in (Spelling.CASE, Spelling.COMPOSITION)
    expected = (f"matched 2 images: 1 as spelled, 1 {spelling.value}",) if is_told else ()
    assert data.warnings == expected


@pytest.mark.parametrize(
    ("name", "path"),
    [("a.jpg", "a.png"), ("a", "a.txt"), ("139", "0139.txt"), ("139.png", "000000000139.jpg"), ("a", "ba.jpg")],
)
def test_a_name_that_no_file_fits_means_none(tmp_path, name, path, read):
    write_data_set(tmp_path, f"{name}#0\tA dog\n")
    (tmp_path / path).write_bytes(b"")
    [reject] = read(tmp_path).rejects
    assert reject.reason == Reason.MISSING_IMAGE


def test_a_name_without_suffix_that_several_files_fit_means_none(tmp_path, read):
    write_data_set(tmp_path, "a#0\tA dog\nx/b#0\tA cat\n")
    for path in ("a.jpg", "a.png", "x/b.jpg", "y/b.jpg"):  # a directory tells the last ones apart
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    data = read(tmp_path)
    assert [image.file.uri for image in data.images] == ["x/b.jpg"]
    [reject] = data.rejects
    assert reject.reason == Reason.AMBIGUOUS_NAME
    assert reject.detail == "the name may mean 2 files: a.jpg, a.png; the captions must name it as it is spelled"


def test_a_name_without_suffix_may_mean_copies_of_one_image(tmp_path, read):
    write_data_set(tmp_path, "a#0\tA dog\n")
    for path in ("images/a.jpg", "images/images/a.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"1234")
    [image] = read(tmp_path).images
    assert image.file.uri == "images/a.jpg" and [file.uri for file in image.identical_files] == ["images/images/a.jpg"]


def test_the_name_that_is_most_like_a_file_means_it(tmp_path, read):
    (tmp_path / "images").mkdir()
    for path in ("images/P10.jpg", "images/7.jpg"):
        (tmp_path / path).write_bytes(b"")
    write_data_set(tmp_path, "".join(f"{name}#0\tA dog\n" for name in ("p10", "p10.jpg", "P10.jpg", "07", "0007")))
    data = read(tmp_path)
    assert [(image.image_id, image.file.uri) for image in data.images] == [("P10.jpg", "images/P10.jpg")]
    details = {reject.image_id: reject.detail for reject in data.rejects}
    assert details["p10"] == details["p10.jpg"] == "no such file; images/P10.jpg is another image of the captions"
    assert details["07"] == details["0007"] == "0007 and 07 do not exist, and both may mean images/7.jpg"


def test_split_lists_name_an_image_as_its_file_or_its_captions_do(tmp_path, read):
    for name in ("img0.jpg", "img1.jpg"):
        (tmp_path / name).write_bytes(b"")
    write_data_set(tmp_path, "img0#0\tA dog\nimg1#0\tA cat\n", {"train": ["img0.jpg"], "test": ["img1"]})
    data = read(tmp_path)
    assert {image.image_id: image.split for image in data.images}["img1"] == "test"
    assert data.warnings == ("matched 2 images: 2 without suffix",)


def test_a_missing_image_lists_files_of_similar_names_that_no_caption_names(tmp_path, read):
    (tmp_path / "images").mkdir()
    for name in ("img0001.jpg", "img0002.jpg", "img_0003.jpg", "other.jpg"):
        (tmp_path / "images" / name).write_bytes(b"")
    write_data_set(tmp_path, "".join(f"img000{number}.jpg#0\tA dog\n" for number in (1, 2, 3)))
    [reject] = read(tmp_path).rejects
    hint = "; the nearest that the captions do not name: images/img_0003.jpg"
    assert (reject.image_id, reject.detail) == ("img0003.jpg", f"no such file in the data directory{hint}")


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    st.sets(
        st.text("aZ%20#é ", min_size=1, max_size=6).filter(lambda name: name == name.strip()), min_size=1, max_size=4
    ),
    st.sampled_from([urllib.parse.quote, str.upper, lambda name: unicodedata.normalize("NFD", name)]),
)
def test_a_name_means_the_file_that_has_it_whatever_other_files_there_are(names, respell):
    paths = [f"{name}.jpg" for name in names]
    files = Files.of({path: (ImageFile(path, number, 0), path) for number, path in enumerate(paths)})
    assert [files.match(path, "captions.txt").file.uri for path in paths] == paths
    for path in paths:
        match = files.match(respell(path), "captions.txt")
        assert match.file or match.candidates
        if respell(path) not in paths and len(paths) == 1:
            assert match.file.uri == path
