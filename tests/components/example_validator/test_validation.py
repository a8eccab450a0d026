import re

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.example_validator.validation import InvalidData, Problem, check, problems, table, validate
from tests.material import ROOT


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())


GOOD = {
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
    return {name: values for name, values in (GOOD | changes).items() if values is not None}


def data_set(width: float, words: float, pictures: int = 300):
    """Statistics of pictures whose widths and captions are spread about these means."""
    rng = np.random.default_rng(7)
    return statistics(
        *(
            example(
                width=[int(rng.normal(width, 20))],
                caption_words=[int(n) for n in np.clip(rng.normal(words, 2, 5), 1, None)],
                captions=[b"a dog"] * 5,
            )
            for _ in range(pictures)
        )
    )


def uncounted(split, features):
    raise AssertionError(f"{features} of {split} counted, without need")


def found_in(splits, schema, before=None, count=uncounted) -> list[Problem]:
    return problems(validate(splits, schema, before), splits, count)


def all_of(number):
    return lambda split, features: dict.fromkeys(features, number)


def test_good_data_passes(schema):
    splits = dict.fromkeys(("train", "eval", "test"), statistics(example()))
    check(found_in(splits, schema, splits["train"]), "stop")


@pytest.mark.parametrize(
    ("changes", "what"),
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
def test_bad_data_stops_with_split_feature_and_kind(schema, changes, what):
    splits = {"train": statistics(example()), "test": statistics(example(**changes))}
    with pytest.raises(InvalidData) as caught:
        check(found_in(splits, schema, count=all_of(1)), "warn")
    first, header, row, *_ = str(caught.value).splitlines()
    assert first == "the data breaks the schema in 1 places:"
    assert header.split() == ["split", "pictures", "feature", "what", "detail"]
    assert row.split()[:5] == ["test", "1", "of", "1", next(iter(changes))] and what in row


def test_how_many_examples_are_bad_is_told(schema):
    rows = [example()] * 96 + [example(captions=None, caption_words=None)] * 4
    found = found_in({"eval": statistics(*rows)}, schema, count=lambda split, features: {"captions": 4})
    words, captions = found
    assert captions.is_error and "0.96" in captions.detail and (captions.bad, captions.pictures) == (4, 100)
    assert words.feature == "caption_words" and words.bad is None  # not known
    assert re.findall(r"(?m)^eval +(\S+ of 100) +(\w+)", table(found)) == [
        ("– of 100", "caption_words"),
        ("4 of 100", "captions"),
    ]


@pytest.mark.parametrize(
    ("width", "words", "features"), [(300, 10, []), (500, 10, ["width"]), (300, 20, ["caption_words"])]
)
def test_drift_is_seen_between_the_data_and_what_was_before(schema, width, words, features):
    before = data_set(300, 10)
    now = {"train": data_set(width, words), "test": data_set(900, 30)}
    found = found_in(now, schema, before)
    assert [(problem.split, problem.feature, problem.is_error) for problem in found] == [
        ("train", feature, False) for feature in features
    ]
    check(found, "warn")
    if found:
        with pytest.raises(InvalidData, match=rf"(?s)on_drift=warn goes on.*train +– of 300 +{features[0]} "):
            check(found, "stop")


def test_skew_is_seen_between_train_and_eval(schema):
    splits = {"train": data_set(300, 10), "eval": data_set(500, 10)}
    [problem] = found_in(splits, schema)
    assert (problem.split, problem.feature, problem.is_error) == ("train", "width", False)


def test_what_tfdv_only_warns_of_passes():
    reason = anomalies_pb2.AnomalyInfo.Reason(short_description="odd", description="somewhat odd")
    info = anomalies_pb2.AnomalyInfo(severity=anomalies_pb2.AnomalyInfo.WARNING, reason=[reason])
    anomalies = {"train": anomalies_pb2.Anomalies(anomaly_info={"captions": info})}
    found = problems(anomalies, {"train": statistics(example())}, all_of(1))
    assert found == [Problem("train", "captions", "odd", "somewhat odd", 1, 1, False)]
    check(found, "warn")


def test_errors_come_first_and_nothing_in_the_table_is_markup():
    found = [
        Problem("train", "[bold]width", "skew", "[red]0.4", None, 9, False),
        Problem("test", "width", "range", "3", 2, 9, True),
    ]
    with pytest.raises(InvalidData, match="in 1 places"):
        check(found, "warn")
    assert "[bold]width" in table(found) and "[red]0.4" in table(found)
