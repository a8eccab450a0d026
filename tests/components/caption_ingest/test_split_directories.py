"""Directories of the images are the official splits where nothing else states any."""

import json

import pytest

SPLITS = {"0.jpg": "train", "1.jpg": "train", "2.jpg": "eval", "3.jpg": "test"}
NAMES = {"train": "train", "eval": "val", "test": "test"}


@pytest.fixture
def draw(tmp_path):
    """Writes files for images into directories of their splits, and returns their paths."""

    def write(pattern: str = "{}") -> list[str]:
        paths = [f"{pattern.format(NAMES[split])}/{name}" for name, split in SPLITS.items()]
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(path)
        return paths

    return write


def write_table(directory, names, header="image,caption") -> None:
    (directory / "captions.csv").write_text(f"{header}\n" + "".join(f"{name},A dog runs here\n" for name in names))


@pytest.mark.parametrize("pattern", ["{}", "images/{}", "{}/images", "{}2017", "{}_images", "images_{}"])
@pytest.mark.parametrize("has_paths", [True, False])
def test_directories_are_the_splits_of_a_table(tmp_path, read, draw, pattern, has_paths):
    paths = draw(pattern)
    write_table(tmp_path, paths if has_paths else SPLITS)
    data = read(tmp_path)
    assert {image.file.uri.rpartition("/")[2]: image.split for image in data.images} == SPLITS
    assert data.stated_splits == ("train", "eval", "test") and not data.warnings
    assert data.split_origins == {"directories of the images": 4}


def test_directories_are_the_splits_of_json_records(tmp_path, read, draw):
    records = [{"image": path, "caption": "A dog runs here"} for path in draw()]
    (tmp_path / "captions.json").write_text(json.dumps(records))
    assert {image.image_id[-5:]: image.split for image in read(tmp_path).images} == SPLITS


def test_directories_count_for_nothing_if_some_images_are_elsewhere(tmp_path, read, draw):
    paths = draw()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "4.jpg").write_text("4")
    write_table(tmp_path, [*paths, "more/4.jpg"])
    data = read(tmp_path)
    assert not data.is_official and data.split_origins == {"hash of the name": 5}
    assert data.warnings == (
        "4 images are in directories that are named as splits, and 1 are not: the directories are not used as splits; "
        "move the images, or add split lists",
    )


def test_lists_come_before_directories(tmp_path, read, draw):
    paths = draw()
    write_table(tmp_path, paths)
    for split, path in zip(("test", "train", "train", "train"), paths, strict=True):
        with (tmp_path / f"{split}.txt").open("a") as file:
            file.write(f"{path}\n")
    data = read(tmp_path)
    assert next(image.split for image in data.images if image.image_id == paths[0]) == "test"
    assert "directories of the images" not in data.split_origins


def test_one_directory_is_no_split(tmp_path, read, draw):
    paths = draw()
    write_table(tmp_path, paths[:2])
    assert not read(tmp_path).is_official


def test_missing_images_are_rejects_and_decide_nothing(tmp_path, read, draw):
    write_table(tmp_path, [*draw(), "gone.jpg"])
    data = read(tmp_path, unlisted_images="skip")
    assert data.is_official and [reject.image_id for reject in data.rejects] == ["gone.jpg"]


def test_of_identical_files_in_two_directories_test_has_the_image(tmp_path, read, draw):
    draw()
    for directory in ("train", "test"):
        (tmp_path / directory / "same.jpg").write_text("same")
    write_table(tmp_path, [*SPLITS, "same.jpg"])
    assert next(image.split for image in read(tmp_path).images if image.image_id == "same.jpg") == "test"
