import pytest
import tensorflow as tf

from components import records
from components.caption_ingest.dataset import Entry
from components.caption_ingest.examples import write_examples
from components.caption_ingest.pictures import Inspected, PictureFile
from components.caption_ingest.rejects import Reason
from components.images import PictureFault


def entry(name, split):
    return Entry(
        name, split, PictureFile(f"images/{name}", 1, 1), (f"{name} one", "zwei, größer"), "captions.token.txt", 1
    )


ENTRIES = [entry("a.jpg", "train"), entry("b.jpg", "train"), entry("c.jpg", "eval"), entry("d.jpg", "test")]
FOUND = {e.image_id: Inspected(f"sha of {e.image_id}", 40, 30) for e in ENTRIES}


def test_a_picture_is_one_example(tmp_path):
    write_examples(str(tmp_path), ENTRIES, FOUND)
    files = sorted(map(str, tmp_path.glob("Split-train/*")))
    [batch] = records.read_examples(files, records.EXAMPLE_SPEC)
    assert batch[records.IMAGE_ID].numpy().tolist() == [b"a.jpg", b"b.jpg"]
    assert batch[records.IMAGE_URI].numpy()[1] == b"images/b.jpg"
    assert batch[records.SHA256].numpy()[1] == b"sha of b.jpg"
    assert (batch[records.WIDTH].numpy()[0], batch[records.HEIGHT].numpy()[0]) == (40, 30)
    captions = batch[records.CAPTIONS]
    assert isinstance(captions, tf.RaggedTensor)
    assert captions[0].numpy()[1].decode() == "zwei, größer"


def test_equal_input_gives_equal_bytes(tmp_path):
    for run in ("one", "two"):
        write_examples(str(tmp_path / run), ENTRIES, FOUND)
    names = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("*/*")]
    assert len(names) == 3
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("split", records.SPLITS)
def test_an_empty_split_is_refused(tmp_path, split):
    with pytest.raises(ValueError, match=f"no picture is left for the {split} split"):
        write_examples(str(tmp_path), [e for e in ENTRIES if e.split != split], FOUND)


def test_every_fault_of_a_picture_is_a_reason():
    assert {fault.value for fault in PictureFault} <= {reason.value for reason in Reason}
