"""When rejected captions fail a run."""

import pytest

from components.caption_ingest.ingest import check_reject_fraction
from components.caption_ingest.rejects import Reason, TooManyRejects, reject_image
from tests.factories import write_data_set


def test_rejected_images_count_against_the_captions_of_the_selected_images(data_dir, read):
    names = [f"{number}.jpg" for number in range(100)]
    write_data_set(data_dir, "".join(f"{name}#0\tA dog\n" for name in names))
    for name in names:
        (data_dir / "images" / name).write_bytes(b"")

    def check(max_images, num_faulty, max_fraction):
        data = read(data_dir, max_images=max_images)
        rejects = [reject_image(image, Reason.TRUNCATED, "cut off") for image in data.images[:num_faulty]]
        check_reject_fraction(data, rejects, max_fraction)

    check(max_images=None, num_faulty=1, max_fraction=0.01)
    check(max_images=20, num_faulty=2, max_fraction=0.1)
    with pytest.raises(TooManyRejects, match=r"^18 of 20 captions \(90.0%\)"):
        check(max_images=20, num_faulty=18, max_fraction=0.2)
    with pytest.raises(TooManyRejects, match=r"^2 of 100 captions"):
        check(max_images=None, num_faulty=2, max_fraction=0.01)


def test_rejected_lines_count_against_all_captions(data_dir, read):
    data = read(data_dir, max_images=1)
    check_reject_fraction(data, [], max_fraction=0.2)
    with pytest.raises(TooManyRejects, match=r"^2 of 10 captions"):
        check_reject_fraction(data, [], max_fraction=0.19)
