"""Two annotations of the same images are refused unless they are chosen."""

import pytest

from tests.containers import hf_image, write_parquet

NAMES = [f"{number}.jpg" for number in range(8)]
TEXTS = {"en": "A dog runs in {}", "de": "Ein Hund rennt in {}"}


@pytest.fixture
def data_dir(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text(name)
    return tmp_path


def write_table(path, names, text) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("image,caption\n" + "".join(f"{name},{text.format(name)}\n" for name in names))


def write_languages(data_dir, pattern: str) -> None:
    for language, text in TEXTS.items():
        for split, names in {"train": NAMES[:6], "val": NAMES[6:]}.items():
            write_table(data_dir / pattern.format(split=split, language=language), names, text)


@pytest.mark.parametrize("pattern", ["{split}_{language}.csv", "{language}/{split}.csv"])
def test_two_languages_are_refused_unless_chosen(data_dir, read, pattern):
    write_languages(data_dir, pattern)
    with pytest.raises(ValueError, match=r"de.* and .*en.* both have captions of the same 6 images, as two languages"):
        read(data_dir)
    english = read(data_dir, caption_files=pattern.format(split="*", language="en"))
    assert english.num_captions == 8 and english.stated_splits == ("train", "eval")
    assert read(data_dir, caption_files=pattern.format(split="*", language="*")).num_captions == 16


def test_numbered_files_are_the_references_of_one_data_set(data_dir, read):
    for number in range(3):
        write_table(data_dir / f"train.{number}.csv", NAMES, f"Dog {number} runs in {{}}")
    assert read(data_dir).num_captions == 24


def test_files_of_mostly_different_images_are_one_data_set(data_dir, read):
    write_table(data_dir / "train_a.csv", NAMES[:5], TEXTS["en"])
    write_table(data_dir / "train_b.csv", NAMES[3:], TEXTS["de"])
    assert read(data_dir).num_captions == 10


def write_shards(directory, language, numbers, count=1) -> None:
    for shard in range(count):
        rows = [number + 100 * shard for number in numbers]
        images = [hf_image(b"\xff\xd8\xff image %d" % row, f"{row}.jpg") for row in rows]
        (directory / language).mkdir(exist_ok=True)
        columns = {"image": images, "caption": [TEXTS[language].format(row) for row in rows]}
        write_parquet(directory / language / f"train-{shard:05}-of-{count:05}.parquet", columns)


def test_containers_of_the_same_images_are_refused_unless_chosen(tmp_path, read):
    write_shards(tmp_path, "en", range(8), count=2)
    write_shards(tmp_path, "de", range(8), count=2)
    with pytest.raises(ValueError, match=r"de/train-00000-of-00002.parquet and en/train-00000-of-00002.parquet both"):
        read(tmp_path)
    assert len(read(tmp_path, caption_files="en/*.parquet").images) == 16
    assert len(read(tmp_path, caption_files="*/*.parquet").images) == 32


def test_containers_of_different_images_are_one_data_set(tmp_path, read):
    write_shards(tmp_path, "en", range(8))
    write_shards(tmp_path, "de", range(8, 16))
    assert len(read(tmp_path).images) == 16
