import re

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.example_validator.validation import InvalidDataError, Problem, check, find_problems, table, validate
from tests.factories import ROOT


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())


VALID = {
    "image_id": [b"a.jpg"],
    "image_uri": [b"images/a.jpg"],
    "sha256": [b"0" * 64],
    "width": [40],
    "height": [30],
    "captions": [b"a dog", b"the dog"],
    "caption_words": [2, 2],
}


def statistics(*rows):
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame(list(rows)), n_jobs=1)


def example(**changes):
    return {name: values for name, values in (VALID | changes).items() if values is not None}


def data_set(width: float, words: float, num_images: int = 300):
    """Statistics of images whose widths and captions vary about these means."""
    rng = np.random.default_rng(7)
    return statistics(
        *(
            example(
                width=[int(rng.normal(width, 20))],
                caption_words=[int(n) for n in np.clip(rng.normal(words, 2, 5), 1, None)],
                captions=[b"a dog"] * 5,
            )
            for _ in range(num_images)
        )
    )


def uncounted(split, features):
    raise AssertionError(f"{features} of {split} were counted without need")


def problems_in(splits, schema, previous=None, count=uncounted) -> list[Problem]:
    return find_problems(validate(splits, schema, previous), splits, count)


def all_of(number):
    return lambda split, features: dict.fromkeys(features, number)


def test_valid_data_passes(schema):
    splits = dict.fromkeys(("train", "eval", "test"), statistics(example()))
    check(problems_in(splits, schema, splits["train"]), "fail")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"captions": None}, "Column dropped"),
        ({"width": [3]}, "Out-of-range values"),
        ({"height": [30, 31]}, "Feature shape dropped"),
        ({"sha256": [5]}, "type"),
        ({"captions": [b"a dog"] * 101}, "Superfluous values"),
        ({"caption_words": [401, 2]}, "Out-of-range values"),
        ({"caption_words": [0, 2]}, "Out-of-range values"),
    ],
)
def test_invalid_data_fails_with_split_feature_and_kind(schema, changes, kind):
    splits = {"train": statistics(example()), "test": statistics(example(**changes))}
    with pytest.raises(InvalidDataError) as caught:
        check(problems_in(splits, schema, count=all_of(1)), "warn")
    first, header, row, *_ = str(caught.value).splitlines()
    assert first == "the data violates the schema (anomalies: 1):"
    assert header.split() == ["split", "images", "feature", "problem", "detail"]
    assert row.split()[:5] == ["test", "1", "of", "1", next(iter(changes))] and kind in row


def test_the_number_of_invalid_examples_is_shown(schema):
    rows = [example()] * 96 + [example(captions=None, caption_words=None)] * 4
    problems = problems_in({"eval": statistics(*rows)}, schema, count=lambda split, features: {"captions": 4})
    words, captions = problems
    assert captions.is_error and "0.96" in captions.detail and (captions.num_invalid, captions.num_images) == (4, 100)
    assert words.feature == "caption_words" and words.num_invalid is None  # not known
    assert re.findall(r"(?m)^eval +(\S+ of 100) +(\w+)", table(problems)) == [
        ("– of 100", "caption_words"),
        ("4 of 100", "captions"),
    ]


@pytest.mark.parametrize(
    ("width", "words", "features"), [(300, 10, []), (500, 10, ["width"]), (300, 20, ["caption_words"])]
)
def test_drift_is_detected_between_the_data_and_the_previous_data(schema, width, words, features):
    previous = data_set(300, 10)
    now = {"train": data_set(width, words), "test": data_set(900, 30)}
    problems = problems_in(now, schema, previous)
    assert [(problem.split, problem.feature, problem.is_error) for problem in problems] == [
        ("train", feature, False) for feature in features
    ]
    for problem, text in zip(problems, map(str, problems), strict=True):
        assert text.startswith(f"train and the previous train differ in {problem.feature}: Jensen-Shannon divergence ")
    check(problems, "warn")
    if problems:
        with pytest.raises(InvalidDataError, match=rf"(?s)on_drift=warn only warns.*train +– of 300 +{features[0]} "):
            check(problems, "fail")


def test_skew_is_detected_between_train_and_eval(schema):
    splits = {"train": data_set(300, 10), "eval": data_set(500, 10)}
    [problem] = problems_in(splits, schema)
    assert (problem.split, problem.feature, problem.is_error) == ("train", "width", False)
    text = (
        r"train and eval differ in width: Jensen-Shannon divergence [01]\.\d\d, limit 0\.3; normal for few images; see"
    )
    assert re.match(text, str(problem))


def test_a_difference_between_many_images_is_not_excused(schema):
    splits = {"train": data_set(300, 10, 1000), "eval": data_set(500, 10)}
    [problem] = problems_in(splits, schema)
    assert problem.detail.endswith("limit 0.3; see docs/data.md#validation")


def test_tfdvs_warnings_pass():
    reason = anomalies_pb2.AnomalyInfo.Reason(short_description="odd", description="somewhat odd")
    info = anomalies_pb2.AnomalyInfo(severity=anomalies_pb2.AnomalyInfo.WARNING, reason=[reason])
    anomalies = {"train": anomalies_pb2.Anomalies(anomaly_info={"captions": info})}
    problems = find_problems(anomalies, {"train": statistics(example())}, all_of(1))
    assert problems == [Problem("train", "captions", "odd", "somewhat odd", 1, 1, False)]
    check(problems, "warn")


def test_errors_come_first_and_nothing_in_the_table_is_markup():
    problems = [
        Problem("train", "[bold]width", "skew", "[red]0.4", None, 9, False),
        Problem("test", "width", "range", "3", 2, 9, True),
    ]
    with pytest.raises(InvalidDataError, match="anomalies: 1"):
        check(problems, "warn")
    assert "[bold]width" in table(problems) and "[red]0.4" in table(problems)
