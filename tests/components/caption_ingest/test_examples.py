import tensorflow as tf

from components.caption_ingest.dataset import CaptionedImage
from components.caption_ingest.examples import write_examples
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.inspection import Inspection
from components.caption_ingest.rejects import Reason
from components.shared import record_files, records
from components.shared.images.limits import ImageFault


def captioned(name: str, split: str) -> CaptionedImage:
    captions = (f"{name} one", "zwei, größer")
    return CaptionedImage(name, split, ImageFile(f"images/{name}", 1, 1), captions, "captions.token.txt", 1)


IMAGES = [
    captioned(f"{name}.jpg", split) for name, split in zip("abcd", ("train", "train", "eval", "test"), strict=True)
]
INSPECTIONS = {image.file.uri: Inspection(f"sha of {image.image_id}", 40, 30) for image in IMAGES}


def test_an_image_is_one_example(tmp_path):
    write_examples(str(tmp_path), IMAGES, INSPECTIONS)
    files = sorted(map(str, tmp_path.glob("Split-train/*")))
    [batch] = record_files.read_examples(files, record_files.EXAMPLE_SPEC)
    assert batch[records.IMAGE_ID].numpy().tolist() == [b"a.jpg", b"b.jpg"]
    assert batch[records.IMAGE_URI].numpy()[1] == b"images/b.jpg"
    assert batch[records.SHA256].numpy()[1] == b"sha of b.jpg"
    assert (batch[records.WIDTH].numpy()[0], batch[records.HEIGHT].numpy()[0]) == (40, 30)
    captions = batch[records.CAPTIONS]
    assert isinstance(captions, tf.RaggedTensor)
    assert captions[0].numpy()[1].decode() == "zwei, größer"


def test_equal_input_gives_equal_bytes(tmp_path):
    for run in ("one", "two"):
        write_examples(str(tmp_path / run), IMAGES, INSPECTIONS)
    names = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("*/*")]
    assert len(names) == 3
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_every_image_fault_is_a_reason():
    assert {fault.value for fault in ImageFault} <= {reason.value for reason in Reason}
