import hashlib
import pathlib

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.feature_extractor import executor, export
from components.feature_extractor.executor import Executor, store_of
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import artifact_types, records, scenes
from components.shared.features import Manifest
from components.shared.settings import to_property
from components.shared.step import ChangedDuringStepError
from pipeline.pipeline import LOCAL_BEAM

SETTINGS = FeatureExtractorSettings("MobileNet", "random", image_size=32)
RUNTIME = ("backbone", "weights", "store_dir")


@pytest.fixture
def examples(tmp_path) -> standard_artifacts.Examples:
    """Two train images and one per other split, beside a data root with the files."""
    (tmp_path / "data").mkdir()
    indices = {"train": [0, 1], "eval": [2], "test": [3]}
    for split, images in indices.items():
        path = tmp_path / "examples" / f"Split-{split}" / "data-00000-of-00001.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for index in images:
                writer.write(example(tmp_path / "data" / f"{index}.jpg", index))
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples")
    artifact.set_string_custom_property(records.DATA_ROOT, str(tmp_path / "data"))
    return artifact


def example(path: pathlib.Path, index: int) -> bytes:
    path.write_bytes(scenes.jpeg(1, index))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    values = {records.IMAGE_ID: f"image {index}", records.IMAGE_URI: path.name, records.SHA256: sha256}
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])) for name, text in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.mark.slow
def test_the_features_of_all_splits_are_computed_once_and_listed_in_the_manifest(examples, tmp_path):
    properties = {
        "settings": to_property(SETTINGS, FeatureExtractorSettings, RUNTIME),
        "backbone": SETTINGS.backbone,
        "weights": SETTINGS.weights,
        "store_dir": str(tmp_path / "store"),
    }
    context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=str(tmp_path), unique_id="1")
    manifests = []
    for run, num_computed in enumerate((4, 0)):
        features = artifact_types.Features()
        features.uri = str(tmp_path / "features" / str(run))
        Executor(context).Do({"examples": [examples]}, {"features": [features]}, properties)
        assert features.get_int_custom_property(records.COMPUTED) == num_computed
        manifests.append(Manifest.load(features.uri))
    assert manifests[0] == manifests[1]
    assert manifests[0].directory == store_of(SETTINGS, str(tmp_path / "store")).directory
    names = sorted(image_id for images in manifests[0].shards.values() for image_id in images)
    assert names == [f"image {index}" for index in range(4)]


def test_weights_that_change_while_the_step_runs_get_no_features_under_the_old_name(examples, tmp_path, monkeypatch):
    properties = {
        "settings": to_property(SETTINGS, FeatureExtractorSettings, RUNTIME),
        "backbone": SETTINGS.backbone,
        "weights": SETTINGS.weights,
        "store_dir": str(tmp_path / "store"),
        records.FINGERPRINT: f"{store_of(SETTINGS, str(tmp_path / 'store')).directory} generation",
    }
    context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=str(tmp_path), unique_id="1")
    outputs = {"features": [artifact_types.Features()]}
    saved = export.export

    def export_and_change(settings, directory):
        monkeypatch.setattr(executor, "fingerprint", lambda settings: "fingerprint of other weights")
        return saved(settings, directory)

    monkeypatch.setattr(export, "export", export_and_change)
    with pytest.raises(ChangedDuringStepError, match="feature_extractor names has changed since this step began"):
        Executor(context).Do({"examples": [examples]}, outputs, properties)
    [store] = (tmp_path / "store").iterdir()
    assert not [path for path in store.iterdir() if path.name.startswith("backbone")]
    # and a run after it, whose driver has looked before the change, does not begin
    with pytest.raises(ChangedDuringStepError):
        Executor(context).Do({"examples": [examples]}, outputs, properties)
