import dataclasses
import json

import pytest

from components.shared.backbone_description import BACKBONE, BackboneDescription

DESCRIPTION = BackboneDescription("MobileNet", "random", 32, "backbone-0a", (2, 3), 4)


def test_a_description_is_read_as_it_was_written(tmp_path):
    DESCRIPTION.write(str(tmp_path))
    assert BackboneDescription.read(str(tmp_path)) == DESCRIPTION


def test_a_missing_description_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        BackboneDescription.read(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"saved_model": "../elsewhere"}, r"saved_model: '\.\./elsewhere'"),
        ({"saved_model": "backbone-0a/../elsewhere"}, "saved_model"),
        ({"size": 0}, "size: Input should be greater than 0"),
        ({"grid": [2]}, r"grid.*: Field required"),
        ({"channels": "many"}, "channels: Input should be a valid integer"),
        ({"name": None}, "name: Input should be a valid string"),
    ],
)
def test_a_description_that_is_none_is_refused_with_the_file_and_the_reason(tmp_path, change, reason):
    (tmp_path / BACKBONE).write_text(json.dumps(dataclasses.asdict(DESCRIPTION) | change))
    with pytest.raises(ValueError, match=rf"^{tmp_path}/backbone\.json does not describe a backbone: {reason}"):
        BackboneDescription.read(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_file_that_a_crash_has_damaged_is_refused(tmp_path, content):
    (tmp_path / BACKBONE).write_text(content)
    with pytest.raises(ValueError, match=r"backbone\.json"):
        BackboneDescription.read(str(tmp_path))
