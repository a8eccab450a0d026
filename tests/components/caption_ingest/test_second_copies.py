"""Second copies of a caption file are told apart from further captions, by their names and by their content."""

import json

import pytest

from components.caption_ingest.second_copies import find_copies

ORIGINAL = "annotations/captions_train2014.json"
COPIES = [
    *("captions_train2014_tokenized.json", "captions_train2014_tok.json", "captions_train2014.lower.json"),
    *("captions_train2014 (1).json", "captions_train2014(2).json", "captions_train2014.json.1"),
    *("captions_train2014 - Copy.json", "captions_train2014 - Copy (2).json", "Copy of captions_train2014.json"),
    *("captions_train2014 copy.json", "captions_train2014 copy 2.json", "captions_train2014_copy.json"),
    *("captions_train2014 - Kopie.json", "Kopie von captions_train2014.json", "captions_train2014_tokenized (1).json"),
    *("captions_train2014.json.bak", "captions_train2014.json~", "captions_train2014.json.orig"),
]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_has_its_originals_name_and_a_mark(copy):
    assert find_copies([f"annotations/{copy}", ORIGINAL]) == {f"annotations/{copy}": ORIGINAL}
    assert find_copies([f"annotations/{copy}"]) == {}  # alone, it is what there is
    assert find_copies([f"other/{copy}", ORIGINAL]) == {}


@pytest.mark.parametrize("lemmas", ["Flickr8k.lemma.token.txt", "Flickr8k.lemma.txt"])
def test_flickr8ks_lemmas_are_a_copy_of_its_tokens(lemmas):
    assert find_copies([lemmas, "Flickr8k.token.txt"]) == {lemmas: "Flickr8k.token.txt"}


@pytest.mark.parametrize(
    "names",
    [
        ["train.json", "val.json", "test.json"],
        ["train.json", "train_extra.json", "train_1.json", "train_2.json"],
        ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"],
        ["captions.txt", "captions_de.txt"],
    ],
)
def test_other_files_of_a_dataset_are_no_copies(names):
    assert find_copies(names) == {}


def coco(*captions: str) -> str:
    return json.dumps(
        {
            "images": [{"id": number, "file_name": f"{number}.jpg"} for number, _ in enumerate(captions)],
            "annotations": [{"image_id": number, "caption": text} for number, text in enumerate(captions)],
        }
    )


SENTENCES = [f"A dog, number {number}, doesn't run." for number in range(20)]
TOKENIZED = [f"a dog , number {number} , does n't run" for number in range(20)]


@pytest.fixture
def coco_dir(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)
    (tmp_path / "captions_train2014.json").write_text(coco(*SENTENCES))
    return tmp_path


def test_of_a_plain_and_a_tokenized_file_the_plain_one_is_read(coco_dir, read):
    (coco_dir / "captions_train2014_tokenized.json").write_text(coco(*TOKENIZED))
    data = read(coco_dir)
    assert {image.captions for image in data.images} == {(text,) for text in SENTENCES}
    assert data.warnings == (
        "captions_train2014_tokenized.json is not read: by its name, it is a second copy of captions_train2014.json",
    )
    chosen = read(coco_dir, caption_files="*_tokenized.json")
    assert {image.captions for image in chosen.images} == {(text,) for text in TOKENIZED} and not chosen.warnings


def test_a_tokenized_copy_of_any_name_is_refused_by_name(coco_dir, read):
    (coco_dir / "train_for_metrics.json").write_text(coco(*TOKENIZED))
    with pytest.raises(
        ValueError, match=r"train_for_metrics.json repeats the captions of captions_train2014.json with"
    ):
        read(coco_dir)
    assert len(read(coco_dir, caption_files="train_for_metrics.json").images) == 20


def test_an_equal_copy_of_any_name_counts_once(coco_dir, read):
    (coco_dir / "train_again.json").write_text(coco(*SENTENCES))
    data = read(coco_dir)
    assert {image.captions for image in data.images} == {(text,) for text in SENTENCES}
    [warning] = data.warnings
    assert warning.startswith("20 captions repeat") and "train_again.json:1: 0.jpg" in warning


def test_further_captions_and_images_of_a_split_are_read(coco_dir, read):
    (coco_dir / "captions_train2017.json").write_text(coco(*SENTENCES[:2], *(f"New {n}" for n in range(30))))
    data = read(coco_dir)
    assert len(data.images) == 32 and data.num_captions == 20 + 30
