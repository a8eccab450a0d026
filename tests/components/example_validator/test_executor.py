"""The validator on small examples and their statistics."""

import json
import pathlib

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tfx.types import standard_artifacts

from components.caption_ingest.dataset import CaptionedImage
from components.caption_ingest.examples import write_examples
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.inspection import Inspection
from components.example_validator.executor import PREVIOUS, Executor
from components.example_validator.settings import ExampleValidatorSettings
from components.example_validator.validation import InvalidDataError
from components.shared.records import WARNINGS
from components.shared.settings import to_property
from tests.factories import ROOT


def artifact(artifact_type, uri: pathlib.Path):
    new = artifact_type()
    new.uri = str(uri)
    uri.mkdir(parents=True, exist_ok=True)
    return new


@pytest.fixture
def validate(tmp_path):
    """Runs the executor: (widths of the train images) -> its anomalies."""

    def run(widths):
        inputs = {
            "examples": artifact(standard_artifacts.Examples, tmp_path / "examples"),
            "statistics": artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics"),
            "schema": artifact(standard_artifacts.Schema, tmp_path / "schema"),
        }
        (tmp_path / "schema" / "schema.pbtxt").write_text((ROOT / "schemas" / "captions.pbtxt").read_text())
        widths_of_splits = {"train": widths, "eval": [40], "test": [40]}
        write_examples_of(widths_of_splits, tmp_path / "examples")
        write_statistics_of(widths_of_splits, tmp_path / "statistics")
        anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
        input_dict = {name: [value] for name, value in inputs.items()}
        settings = to_property(ExampleValidatorSettings(), ExampleValidatorSettings)
        Executor().Do(input_dict, {"anomalies": [anomalies]}, {PREVIOUS: "", "settings": settings})
        return anomalies

    return run


def write_examples_of(widths: dict[str, list[int]], directory: pathlib.Path) -> None:
    entries, inspected = [], {}
    for split, of_split in widths.items():
        for number, width in enumerate(of_split):
            name = f"{split}{number}.jpg"
            entries.append(CaptionedImage(name, split, ImageFile(name, 1, 1), ("a dog",), "captions.txt", 1))
            inspected[name] = Inspection(name, width, 30)
    write_examples(str(directory), entries, inspected)


def write_statistics_of(widths: dict[str, list[int]], directory: pathlib.Path) -> None:
    names = {"image_id": [b"a"], "image_uri": [b"a"], "sha256": [b"0"]}
    others = names | {"height": [30], "captions": [b"a dog"], "caption_words": [2]}
    for split, of_split in widths.items():
        frame = pd.DataFrame([others | {"width": [width]} for width in of_split])
        statistics = tfdv.generate_statistics_from_dataframe(frame, n_jobs=1)
        (directory / f"Split-{split}").mkdir()
        (directory / f"Split-{split}" / "FeatureStats.pb").write_bytes(statistics.SerializeToString())


def test_valid_data_passes(validate, tmp_path):
    assert json.loads(validate([40, 40]).get_string_custom_property(WARNINGS)) == []
    assert (tmp_path / "anomalies" / "Split-train" / "SchemaDiff.pb").exists()


def test_invalid_data_fails_with_the_number_of_invalid_images(validate, tmp_path):
    with pytest.raises(InvalidDataError, match=r"\ntrain  2 of 5  width    Out-of-range values"):
        validate([40, 3, 40, 4, 40])
    assert (tmp_path / "anomalies" / "Split-train" / "SchemaDiff.pb").exists()  # for the tools that read them
