import pytest

from components.bleu_evaluator.slices import slice_by
from components.shared.words import Tokenization

REFERENCES = [["a dog", "a big dog runs"], ["a cat !"], ["a cat sleeps on it"], ["two"]]
RECORDS = [
    {"objects": [1], "scene": ["park"], "width": [100], "captions": ["x", "y"], "boxes": [2, 4]},
    {"objects": [2], "scene": ["park"], "width": [110], "captions": ["x"], "boxes": [3]},
    {"objects": [1], "scene": ["street"], "width": [120], "captions": ["x"], "boxes": [1]},
    {"scene": ["street"], "width": [130], "captions": ["x"], "boxes": []},
]


def slices(field: str, records=RECORDS) -> dict[str, list[int]]:
    slices = slice_by(field, records, REFERENCES * (len(records) // 4), Tokenization())
    return {name: rows.tolist() for name, rows in slices.items()}


def test_slices_by_the_length_of_the_references():
    assert slices("caption_length") == {"1": [3], "2": [1], "3": [0], "5": [2]}


def test_slices_by_a_number_leave_out_images_without_it():
    assert slices("objects") == {"1": [0, 2], "2": [1]}


def test_slices_by_a_text():
    assert slices("scene") == {"park": [0, 1], "street": [2, 3]}


def test_several_numbers_count_by_their_mean_and_several_texts_by_their_number():
    assert slices("boxes") == {"1": [2], "3": [0, 1]}
    texts = [{"tags": ["a", "b"]}, {"tags": ["a", "b", "c"]}, {"tags": ["a", "b"]}, {}]
    assert slices("tags", texts) == {"2": [0, 2], "3": [1]}


def test_many_numbers_are_binned_into_quartiles():
    found = slices("width", [{"width": [width]} for width in range(100, 140)])
    assert list(found) == ["100 to 109", "110 to 119", "120 to 129", "130 to 139"]
    assert sorted(row for rows in found.values() for row in rows) == list(range(40))


def test_large_whole_numbers_are_written_in_full():
    assert slices("id", [{"id": [16_000_000 + row % 3]} for row in range(4)]) == {
        "16000000": [0, 3],
        "16000001": [1],
        "16000002": [2],
    }
    found = slices("id", [{"id": [16_000_000 + row]} for row in range(40)])
    assert next(iter(found)) == "16000000 to 16000009" and len(found) == 4


def test_fractions_that_are_formatted_identically_are_one_slice():
    assert slices("size", [{"size": [0.1 + row * 1e-9]} for row in range(4)]) == {"0.1": [0, 1, 2, 3]}


def test_images_whose_number_is_not_finite_are_in_no_slice():
    values = [float("nan"), 2.0, float("inf"), 2.0]
    assert slices("score", [{"score": [value]} for value in values]) == {"2": [1, 3]}


def test_rare_texts_share_one_slice():
    found = slices("name", [{"name": [str(row)]} for row in range(12)])
    assert len(found) == 11 and len(found["others"]) == 2


def test_an_unknown_field_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="no image has a field hight; known fields: boxes, caption_length, "):
        slices("hight")
