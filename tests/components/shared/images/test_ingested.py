import hashlib

import pytest

from components.shared import object_store, storage
from components.shared.images.ingested import ImageChangedError, IngestedImage, UnreadableImageError, read_verified


@pytest.fixture
def image(tmp_path) -> IngestedImage:
    (tmp_path / "0.jpg").write_bytes(b"ingested")
    return IngestedImage(str(tmp_path / "0.jpg"), hashlib.sha256(b"ingested").hexdigest())


def test_an_unchanged_image_is_read(image):
    assert next(read_verified([image])) == b"ingested"


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_an_image_that_has_changed_since_the_ingest_is_an_error(tmp_path, image, change):
    if change == "gone":
        (tmp_path / "0.jpg").unlink()
    else:
        (tmp_path / "0.jpg").write_bytes(b"other")
    with pytest.raises(ImageChangedError, match=r"0.jpg has changed since it was ingested"):
        next(read_verified([image]))


def test_an_image_that_is_there_but_can_not_be_read_has_not_changed(tmp_path, image):
    (tmp_path / "0.jpg").unlink()
    (tmp_path / "0.jpg").mkdir()
    with pytest.raises(UnreadableImageError, match=r"0.jpg cannot be read \(.+\); run again"):
        next(read_verified([image]))


def test_images_of_a_bucket_are_checked_as_well(bucket, relayed, monkeypatch):
    contents = [f"image {number}".encode() for number in range(20)]
    images = []
    for number, content in enumerate(contents):
        storage.write_bytes(f"{bucket}/{number}.jpg", content)
        images.append(IngestedImage(f"{bucket}/{number}.jpg", hashlib.sha256(content).hexdigest()))
    assert [*read_verified(images)] == contents
    storage.write_bytes(f"{bucket}/7.jpg", b"other")
    storage.remove(f"{bucket}/8.jpg")
    for image in images[7:9]:
        with pytest.raises(ImageChangedError, match=f"^{image.path} has changed since it was ingested; run again$"):
            next(read_verified([image]))
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 0)
    relayed.fault = lambda method, path: 503
    with pytest.raises(object_store.StorageUnavailableError, match=f"{images[0].path}: the object store fails"):
        next(read_verified(images))
