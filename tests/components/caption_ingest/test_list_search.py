"""Split lists are found by the names in them, whatever they are called and however they are written."""

import json

import pytest

from components.caption_ingest import list_search
from components.caption_ingest.dataset import DataSet

NAMES = [f"img{number:04}.jpg" for number in range(10)]
SPLITS = {"train": NAMES[:6], "eval": NAMES[6:8], "test": NAMES[8:]}
ALL = [(name, split) for split, names in SPLITS.items() for name in names]


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "images").mkdir()
    for name in NAMES:
        (tmp_path / "images" / name).write_bytes(name.encode())
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(f"{name},A dog in {name}\n" for name in NAMES))
    return tmp_path


def splits(data: DataSet) -> dict[str, list[str]]:
    return {split: [image.image_id for image in data.images if image.split == split] for split in SPLITS}


PATTERNS = [
    *(("flickr8ktrain.txt", "flickr8kval.txt", "flickr8ktest.txt"), ("trainset.txt", "valset.txt", "testset.txt")),
    *(("images_train.txt", "images_val.txt", "images_test.txt"), ("train_list.csv", "val_list.csv", "test_list.csv")),
    ("splits/train.txt", "splits/val.txt", "splits/test.txt"),
    ("splits/random/train.lst", "splits/random/dev.lst", "splits/random/test.lst"),
    ("ImageSets/Main/train.txt", "ImageSets/Main/val.txt", "ImageSets/Main/test.txt"),
    ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt"),
    ("training_names", "validation_names", "testing_names"),
    ("TRAIN.TXT", "VAL.TXT", "TEST.TXT"),
    ("parts/train/names.txt", "parts/val/names.txt", "parts/test/names.txt"),
]


@pytest.mark.parametrize("files", PATTERNS, ids=lambda files: files[0])
@pytest.mark.parametrize("form", ["{}.jpg", "{}", "images/{}.jpg", '"{}.jpg"', "{}.jpg#0"])
def test_lists_are_found_whatever_they_are_called(data_dir, read, files, form):
    for file, names in zip(files, SPLITS.values(), strict=True):
        path = data_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(form.format(name.removesuffix(".jpg")) + "\n" for name in names))
    data = read(data_dir)
    assert splits(data) == SPLITS and data.is_official and not data.warnings


WORDS = {"train": "Training", "eval": "dev", "test": "test"}
LAYOUTS = {
    "a table": ("splits.csv", "image,split\n" + "".join(f"{name},{split}\n" for name, split in ALL)),
    "a table in quotes": ("s.tsv", "id\tfilename\tset\n" + "".join(f'1\t"{name}"\t{split}\n' for name, split in ALL)),
    "pairs": ("assignment.txt", "".join(f"{name} {split}\n" for name, split in ALL)),
    "names by split": ("split.json", json.dumps(SPLITS)),
    "names by split, indented": (
        "dataset_splits.json",
        json.dumps({"val" if k == "eval" else k: v for k, v in SPLITS.items()}, indent=1),
    ),
    "names by split, below a key": ("dataset.json", json.dumps({"splits": SPLITS, "seed": 3})),
    "records by split": (
        "splits.json",
        json.dumps({split: [{"filename": name, "label": "dog"} for name in names] for split, names in SPLITS.items()}),
    ),
    "splits by name": ("split.json", json.dumps(dict(ALL))),
}


@pytest.mark.parametrize(("file", "text"), LAYOUTS.values(), ids=LAYOUTS)
def test_one_file_may_state_all_splits(data_dir, read, file, text):
    (data_dir / file).write_text(text)
    data = read(data_dir)
    assert splits(data) == SPLITS and data.is_official and not data.warnings


def test_a_list_with_a_header_or_as_json_is_a_list(data_dir, read):
    (data_dir / "my_train.csv").write_text("filename,width\n" + "".join(f"{name},640\n" for name in SPLITS["train"]))
    (data_dir / "my_val.json").write_text(json.dumps(SPLITS["eval"]))
    (data_dir / "my_test.json").write_text(json.dumps(SPLITS["test"], indent=1))
    assert splits(read(data_dir)) == SPLITS


def test_a_list_of_the_whole_dataset_may_come_with_captions_of_a_part(data_dir, read):
    others = "".join(f"other{number}.jpg\n" for number in range(90))
    (data_dir / "flickr8ktest.txt").write_text("".join(f"{name}\n" for name in SPLITS["test"]) + others)
    data = read(data_dir)
    assert splits(data)["test"] == SPLITS["test"]
    [warning] = data.warnings
    assert warning.startswith("flickr8ktest.txt names 92 images, and the captions contain 2 of them")


def test_a_list_without_split_is_refused_by_name(data_dir, read):
    (data_dir / "holdout.txt").write_text("".join(f"{name}\n" for name in SPLITS["test"]))
    with pytest.raises(
        ValueError, match=r"holdout.txt names 2 of 10 images of the captions, as a split list does, but"
    ):
        read(data_dir)
    (data_dir / "holdout.txt").rename(data_dir / "test_holdout.txt")
    assert splits(read(data_dir))["test"] == SPLITS["test"]


def test_captions_that_were_not_chosen_are_no_list(data_dir, read):
    (data_dir / "train_en.csv").write_text(f"image,caption\n{NAMES[0]},A cat\n")
    data = read(data_dir, caption_files="captions.csv")
    assert not data.is_official and not data.warnings


def test_a_list_of_several_splits_is_refused_unless_their_lists_are_there(data_dir, read):
    (data_dir / "trainval.txt").write_text("".join(f"{name}\n" for name in NAMES[:8]))
    with pytest.raises(ValueError, match=r"trainval.txt names 8 of 10 images"):
        read(data_dir)
    for split, names in SPLITS.items():
        (data_dir / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    data = read(data_dir)
    assert splits(data) == SPLITS
    assert data.warnings == ("trainval.txt is not read: it names 8 of 10 images, but states no split",)


def test_a_list_of_all_images_is_told(data_dir, read):
    (data_dir / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    data = read(data_dir)
    assert not data.is_official
    assert data.warnings == ("names.txt is not read: it names 10 of 10 images, but states no split",)


def test_many_lists_without_split_are_the_images_of_classes(data_dir, read):
    for number, name in enumerate(("airport", "beach", "desert", "forest", "park", "river", "valley", "device")):
        path = data_dir / "txtclasses" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{NAMES[number]}\n")
    data = read(data_dir)
    assert not data.is_official
    assert data.warnings == (
        "txtclasses/airport.txt is not read: as 7 more lists do, it names images, but states no split",
    )


def test_a_second_list_of_a_split_is_told_or_refused(data_dir, read):
    for name, names in {"test.txt": NAMES[8:], "test (1).txt": NAMES[7:], "mytest.txt": NAMES[9:]}.items():
        (data_dir / name).write_text("".join(f"{name}\n" for name in names))
    data = read(data_dir)
    assert splits(data)["test"] == SPLITS["test"]
    assert sorted(data.warnings) == [
        "mytest.txt is not read: test.txt has all its names",
        "test (1).txt is not read: by its name, it is a second copy of test.txt",
    ]
    (data_dir / "flickr8ktest.txt").write_text(f"{NAMES[0]}\n")
    with pytest.raises(ValueError, match=r"several test split lists in .*test.txt, .*flickr8ktest.txt; keep one"):
        read(data_dir)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_list_may_come_from_windows(data_dir, read, encoding):
    for split, names in SPLITS.items():
        text = "".join(f"images\\{name}\r\n" for name in names)
        (data_dir / f"flickr8k{split}.txt").write_bytes(text.encode(encoding))
    assert splits(read(data_dir)) == SPLITS


def test_other_annotations_of_coco_are_not_parsed(data_dir, read, monkeypatch):
    images = [{"license": 1, "file_name": name, "id": n} for n, name in enumerate(NAMES)]
    (data_dir / "instances_train2014.json").write_text(json.dumps({"images": images, "annotations": [{"bbox": []}]}))
    monkeypatch.setattr(list_search, "read_list", None)
    assert not read(data_dir).is_official


def test_a_text_that_is_no_list_is_told_only_if_its_name_says_so(data_dir, read):
    texts = {
        "readme.txt": "Captions of dogs.\n",
        "ExpertAnnotations.txt": "".join(f"{name}\t{name}#2\t1\t1\t1\n" for name in NAMES),
        "latest.txt": "7\n",
        "counts.json": '{"train": 6}',
        "img0000.txt": "img0001.jpg\n",
        "images/img0000.txt": "0 0.5 0.5\n",
        "train_indices.txt": "".join(f"{n}\n" for n in range(6)),
    }
    for name, text in texts.items():
        (data_dir / name).write_text(text)
    (data_dir / "img0000.txt").unlink()
    data = read(data_dir)
    assert not data.is_official
    assert data.warnings == (
        "train_indices.txt is not read: its lines are numbers; a list has the names of the images",
    )


STEMS = [name.removesuffix(".jpg") for name in NAMES]
OTHER_VALUES = "beside names of images it has other values, as in {!r}; a list has names alone, or train, val, test"


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("ImageSets/Main/dog_train.txt", "".join(f"{stem} -1\n" for stem in STEMS), OTHER_VALUES.format("img0000 -1")),
        ("list_eval_partition.txt", "".join(f"{name} 2\n" for name in NAMES), OTHER_VALUES.format("img0000.jpg 2")),
        ("split.csv", "".join(f"images/{name},0\n" for name in NAMES), OTHER_VALUES.format("images/img0000.jpg,0")),
        (
            "list_eval_partition.csv",
            "image_id,partition\n" + "".join(f"{name},2\n" for name in NAMES),
            "its column of splits has '2', which is neither train, val nor test",
        ),
        ("train_dog.txt", "A dog\n", "it holds neither captions nor names of their images"),
        (
            "test.npy",
            "\x93NUMPY",
            ".npy is no format of split lists; write the names of a split to a .txt, one per line",
        ),
        (
            "splits.yaml",
            f"train:\n  - {NAMES[0]}\ntest: [{NAMES[1]}]\n",
            ".yaml is no format of split lists; write the names of a split to a .txt, one per line",
        ),
    ],
)
def test_what_may_state_splits_and_is_not_read_is_told_with_the_reason(data_dir, read, file, text, why):
    (data_dir / file).parent.mkdir(parents=True, exist_ok=True)
    (data_dir / file).write_text(text)
    data = read(data_dir)
    assert not data.is_official and data.warnings == (f"{file} is not read: {why}",)


def test_other_files_with_a_split_in_their_name_are_not_told(data_dir, read):
    (data_dir / "train_config.yaml").write_text("epochs: 3\n")
    (data_dir / "splitter.txt").write_text("a tool\n")
    assert not read(data_dir).warnings


@pytest.mark.parametrize("column", ["is_train", "fold", "set_name", "Partition", "phase"])
def test_a_column_that_may_state_splits_is_told(data_dir, read, column):
    (data_dir / "captions.csv").write_text(
        f"image,caption,{column},width\n" + "".join(f"{name},A dog in {name},1,640\n" for name in NAMES)
    )
    warning = (
        f"captions.csv: {column!r} may state splits and is not read, as it is not called split, or not train, val "
    )
    data = read(data_dir)
    assert not data.is_official and data.warnings == (f"{warning}or test",)
    (data_dir / "test.txt").write_text(NAMES[0])
    assert not read(data_dir).warnings


def test_a_key_that_may_state_splits_is_told(data_dir, read):
    (data_dir / "captions.csv").unlink()
    lines = [json.dumps({"image": name, "caption": "A dog runs", "is_train": True}) for name in NAMES]
    (data_dir / "captions.jsonl").write_text("\n".join(lines))
    [warning] = read(data_dir).warnings
    assert warning.startswith("captions.jsonl: 'is_train' may state splits and is not read")
