"""Public data sets in miniature, each with the files, names and keys that its authors describe: docs/data.md."""

import csv
import io
import json
import pathlib
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.caption_ingest.dataset import DataSet
from tests.factories import encode

SENTENCES = ["A dog runs .", "Two cats sleep on a sofa .", "A man rides a bicycle ."]
SPLIT_OF = {0: "train", 1: "train", 2: "train", 3: "eval", 4: "test"}


def draw(directory: pathlib.Path, names: list[str], kind: str = "JPEG") -> list[str]:
    """Writes a small image under each name."""
    for number, name in enumerate(names):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(Image.new("RGB", (16, 16), (40 * number, 20, 30)), kind))
    return names


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def split_of(data: DataSet) -> dict[str, str]:
    assert not data.rejects
    return {image.image_id: image.split for image in data.images}


def captions_per_image(data: DataSet) -> set[int]:
    return {len(image.captions) for image in data.images}


def test_flickr8k(tmp_path, read):
    names = draw(tmp_path / "Flicker8k_Dataset", [f"{number}_ab.jpg" for number in range(5)])
    lines = [f"{name}#{row}\t{sentence}\n" for name in names for row, sentence in enumerate(SENTENCES)]
    write(tmp_path / "Flickr8k_text" / "Flickr8k.token.txt", "".join(lines))
    write(tmp_path / "Flickr8k_text" / "Flickr8k.lemma.token.txt", "".join(lines).lower())
    write(tmp_path / "Flickr8k_text" / "readme.txt", "Cite us .\n")
    for split, rows in {"train": names[:3], "dev": names[3:4], "test": names[4:]}.items():
        write(tmp_path / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt", "".join(f"{name}\n" for name in rows))
    data = read(tmp_path)
    assert split_of(data) == {name: SPLIT_OF[number] for number, name in enumerate(names)}
    assert captions_per_image(data) == {3}


def test_flickr30k_of_kaggle(tmp_path, read):
    names = draw(tmp_path / "flickr30k_images", [f"{number}.jpg" for number in range(3)])
    rows = [f"{name}| {row}| {sentence}\n" for name in names for row, sentence in enumerate(SENTENCES)]
    write(tmp_path / "results.csv", "image_name| comment_number| comment\n" + "".join(rows))
    data = read(tmp_path)
    assert len(data.images) == 3 and captions_per_image(data) == {3} and not data.rejects


def test_flickr30k_of_hugging_face(tmp_path, read):
    names = draw(tmp_path / "flickr30k-images", [f"{number}.jpg" for number in range(5)])
    buffer = io.StringIO()
    table = csv.writer(buffer)
    table.writerow(["raw", "sentids", "split", "filename", "img_id"])
    for number, name in enumerate(names):
        split = {"eval": "val"}.get(SPLIT_OF[number], SPLIT_OF[number])
        table.writerow([json.dumps(SENTENCES), json.dumps([0, 1, 2]), split, name, number])
    write(tmp_path / "flickr_annotations_30k.csv", buffer.getvalue())
    data = read(tmp_path)
    assert list(split_of(data).values()) == list(SPLIT_OF.values())
    assert captions_per_image(data) == {3}


def test_flickr8k_cn(tmp_path, read):
    names = draw(tmp_path / "Flicker8k_Dataset", [f"{number}.jpg" for number in range(3)])
    write(tmp_path / "flickr8kzhc.caption.txt", "".join(f"{name}#zhc#0 一只 狗 在 跑\n" for name in names))
    data = read(tmp_path)
    assert {image.captions for image in data.images} == {("一只 狗 在 跑",)} and len(data.images) == 3


def coco(names: list[str], **more) -> str:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [
        {"id": 10 * number + row, "image_id": number, "caption": sentence, **more}
        for number, _ in enumerate(names)
        for row, sentence in enumerate(SENTENCES)
    ]
    return json.dumps({"info": {}, "licenses": [], "images": images, "annotations": annotations})


def test_coco(tmp_path, read):
    for split, numbers in {"train2017": range(3), "val2017": range(3, 5)}.items():
        names = [f"{number:012d}.jpg" for number in numbers]
        draw(tmp_path / split, names)
        write(tmp_path / "annotations" / f"captions_{split}.json", coco(names))
        write(tmp_path / "annotations" / f"instances_{split}.json", json.dumps({"images": [], "annotations": []}))
    data = read(tmp_path, caption_files="annotations/captions_*2017.json")
    splits = split_of(data)
    assert {splits[f"{number:012d}.jpg"] for number in range(3, 5)} == {"test"}  # there are no captions of test images
    assert len(data.images) == 5 and captions_per_image(data) == {3}


def test_stair_captions(tmp_path, read):
    for split, numbers in {"train": range(3), "val": range(3, 5)}.items():
        names = [f"COCO_{split}2014_{number:012d}.jpg" for number in numbers]
        draw(tmp_path / f"{split}2014", names)
        text = coco(names, tokenized_caption="犬 が 走る")
        write(tmp_path / f"stair_captions_v1.2_{split}.json", text)
        write(tmp_path / f"stair_captions_v1.2_{split}_tokenized.json", text)
    data = read(tmp_path)
    assert len(data.images) == 5 and captions_per_image(data) == {3}
    assert sum("is not read" in warning for warning in data.warnings) == 2


def karpathy(names: list[str], **more) -> str:
    images = [
        {
            "filename": name,
            "imgid": number,
            "sentids": [0, 1, 2],
            "sentences": [{"raw": sentence, "tokens": sentence.split(), "imgid": number} for sentence in SENTENCES],
            "split": {"eval": "val"}.get(SPLIT_OF[number], SPLIT_OF[number]),
            **more,
        }
        for number, name in enumerate(names)
    ]
    return json.dumps({"images": images, "dataset": "any"})


def test_karpathy_splits_of_coco(tmp_path, read):
    names = draw(tmp_path / "val2014", [f"COCO_val2014_{number:012d}.jpg" for number in range(5)])
    write(tmp_path / "dataset_coco.json", karpathy(names, filepath="val2014", cocoid=1))
    data = read(tmp_path)
    assert list(split_of(data).values()) == list(SPLIT_OF.values())


@pytest.mark.parametrize(
    ("file", "folder", "suffix", "kind"),
    [
        ("dataset_rsicd.json", "RSICD_images", "jpg", "JPEG"),
        ("dataset.json", "imgs", "tif", "TIFF"),  # UCM-Captions and Sydney-Captions
    ],
)
def test_remote_sensing(tmp_path, read, file, folder, suffix, kind):
    names = draw(tmp_path / folder, [f"{number}.{suffix}" for number in range(5)], kind)
    write(tmp_path / file, karpathy(names))
    data = read(tmp_path)
    assert list(split_of(data).values()) == list(SPLIT_OF.values())
    assert captions_per_image(data) == {3}


def test_nwpu_captions(tmp_path, read):
    names = [f"airport_{number:03d}.jpg" for number in range(5)]
    draw(tmp_path / "NWPU_images" / "airport", names)
    records = [
        {
            "filename": name,
            "split": {"eval": "val"}.get(SPLIT_OF[number], SPLIT_OF[number]),
            "raw": SENTENCES[0],
            "raw_1": SENTENCES[1],
            "raw_2": SENTENCES[2],
        }
        for number, name in enumerate(names)
    ]
    write(tmp_path / "dataset_nwpu.json", json.dumps({"airport": records}))
    data = read(tmp_path)
    assert list(split_of(data).values()) == list(SPLIT_OF.values())
    assert captions_per_image(data) == {3}


def test_vizwiz(tmp_path, read):
    for split, numbers in {"train": range(3), "val": range(3, 5)}.items():
        names = [f"VizWiz_{split}_{number:08d}.jpg" for number in numbers]
        draw(tmp_path / split, names)
        document = json.loads(coco(names, is_rejected=False, is_precanned=False, text_detected=True))
        document["annotations"][0] |= {"is_rejected": True, "caption": "Quality issues are too severe ."}
        write(tmp_path / "annotations" / f"{split}.json", json.dumps(document))
    data = read(tmp_path)
    assert len(data.images) == 5 and captions_per_image(data) == {2, 3}
    assert {reject.reason.value for reject in data.rejects} == {"flagged"}


def test_multi30k_as_a_table(tmp_path, read):
    names = draw(tmp_path / "flickr30k-images", [f"{number}.jpg" for number in range(3)])
    rows = [f"{name}\t{sentence}\n" for name, sentence in zip(names, SENTENCES, strict=True)]
    write(tmp_path / "train.tsv", "image\tcaption\n" + "".join(rows))
    data = read(tmp_path)
    assert len(data.images) == 3 and not data.rejects


def test_imagefolder(tmp_path, read):
    numbers = {"train": [0, 1, 2], "validation": [3], "test": [4]}
    for split, rows in numbers.items():
        names = draw(tmp_path / split, [f"{number}.jpg" for number in rows])
        header = "file_name,caption_0,caption_1\n"
        lines = [f'{name},{SENTENCES[0]},"{SENTENCES[1]}"\n' for name in names]
        write(tmp_path / split / "metadata.csv", header + "".join(lines))
    data = read(tmp_path)
    assert sorted(split_of(data).values()) == ["eval", "test", "train", "train", "train"]
    assert captions_per_image(data) == {2}


def test_webdataset(tmp_path, read):
    for shard in range(2):
        with tarfile.open(tmp_path / f"train-{shard:05d}.tar", "w") as archive:
            for number in range(3):
                key = f"{shard}{number:05d}"
                image = encode(Image.new("RGB", (16, 16), (100 * shard, 40 * number, 9)))
                for suffix, content in {"jpg": image, "txt": SENTENCES[number].encode()}.items():
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    data = read(tmp_path)
    assert len(data.images) == 6 and not data.rejects
    assert data.images[0].file.uri == "train-00000.tar/000000.jpg"


def test_parquet_of_hugging_face(tmp_path, read):
    (tmp_path / "data").mkdir()
    for split, numbers in {"train": range(3), "validation": range(3, 4), "test": range(4, 5)}.items():
        images = [
            {"bytes": encode(Image.new("RGB", (16, 16), (40 * number, 0, 9))), "path": f"{number}.jpg"}
            for number in numbers
        ]
        table = pa.table({"image": images, "captions": [SENTENCES for _ in numbers]})
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    data = read(tmp_path)
    assert sorted(split_of(data).values()) == ["eval", "test", "train", "train", "train"]
    assert captions_per_image(data) == {3}
