"""What an inspection finds out about an image."""

import hashlib

import pytest
import tensorflow as tf

from components.caption_ingest.inspection import Inspection, inspect_images, size_fault
from components.shared.images import public_bounds
from components.shared.images.limits import MAX_BYTES
from tests.factories import encode


def test_images_are_hashed_and_measured(image):
    data, wide = encode(image), encode(image.resize((90, 30)), "PNG")
    usable, truncated, last = inspect_images([data, data[:-40], wide])
    assert usable == Inspection(hashlib.sha256(data).hexdigest(), 40, 30)
    assert (truncated.sha256, truncated.fault) == (hashlib.sha256(data[:-40]).hexdigest(), "truncated")
    assert last == Inspection(hashlib.sha256(wide).hexdigest(), 90, 30)
    assert inspect_images([]) == []


def test_a_file_that_is_too_large_has_a_fault():
    assert size_fault(MAX_BYTES) is None
    fault = size_fault(MAX_BYTES + 1)
    assert (fault.fault, fault.detail) == ("too_large", f"{MAX_BYTES + 1} bytes; the maximum is {MAX_BYTES}")


@pytest.mark.parametrize(
    ("kind", "mode", "is_served"),
    [
        *(("BMP", "RGB", True), ("BMP", "P", False), ("PNG", "P", True), ("JPEG", "CMYK", True)),
        *((kind, "RGB", False) for kind in ("WEBP", "TIFF", "JPEG2000", "AVIF")),
    ],
)
def test_an_image_that_the_exported_model_refuses_is_marked(image, kind, mode, is_served):
    data = encode(image.convert(mode), kind)
    [inspection] = inspect_images([data])
    assert (inspection.fault, inspection.width, inspection.is_served) == ("", 40, is_served)
    if is_served:
        public_bounds.decode_within_bounds(tf.constant(data), 8)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            public_bounds.decode_within_bounds(tf.constant(data), 8)
