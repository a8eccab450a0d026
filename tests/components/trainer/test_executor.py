"""The executor, called as TFX's launcher calls it."""

import os
import pathlib

import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.shared import artifact_types, records, step
from components.shared.features import CorruptShardError, Manifest
from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.shared.settings import to_property
from components.trainer.executor import Executor
from components.trainer.settings import OptimizerSettings, TrainerSettings
from tests.components.trainer.factories import trainer_settings
from tests.components.trainer.store import CHANNELS, GRID, write_store
from tests.components.trainer.test_warm_start import export

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "runs"]
IDS = {"a.jpg": [[2, 4, 7, 3], [2, 4, 3, 0]], "b.jpg": [[2, 5, 7, 3]], "c.jpg": [[2, 6, 7, 3]]}
SPLITS = {"train": ("a.jpg", "b.jpg"), "eval": ("c.jpg",)}
SETTINGS = trainer_settings(epochs=1)


@pytest.fixture(scope="module")
def transform(tmp_path_factory) -> pathlib.Path:
    """A directory with `graph` and `examples` as Transform writes them."""
    directory = tmp_path_factory.mktemp("transform")
    spec = {
        records.IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
        records.IDS: tf.io.RaggedFeature(
            tf.int64,
            value_key="ids$ragged_values",
            partitions=[tf.io.RaggedFeature.RowLengths("ids$row_lengths_1")],
            row_splits_dtype=tf.int64,
        ),
    }
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    metadata_io.write_metadata(metadata, str(directory / "graph" / tft.TFTransformOutput.TRANSFORMED_METADATA_DIR))
    vocabulary = directory / "graph" / tft.TFTransformOutput.TRANSFORM_FN_DIR / "assets" / records.VOCABULARY
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("\n".join(WORDS) + "\n")
    for split, names in SPLITS.items():
        path = directory / "examples" / f"Split-{split}" / "transformed.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for name in names:
                writer.write(_serialize(name, IDS[name]))
    return directory


def _serialize(image_id: str, captions: list[list[int]]) -> bytes:
    def integers(values) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    fields = {
        records.IMAGE_ID: tf.train.Feature(bytes_list=tf.train.BytesList(value=[image_id.encode()])),
        "ids$ragged_values": integers([word for caption in captions for word in caption]),
        "ids$row_lengths_1": integers([len(caption) for caption in captions]),
    }
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


class Launch:
    """One execution of the Trainer."""

    def __init__(self, directory: pathlib.Path, transform: pathlib.Path):
        self.checkpoint_dir = directory / "checkpoints"
        images = {name: f"sha {name}" for name in IDS}
        self.manifest: Manifest = write_store(directory / "store", [images])[0]
        self.manifest.save(str(directory / "features"))
        self.inputs = {
            "examples": [_artifact(standard_artifacts.Examples, transform / "examples")],
            "transform_graph": [_artifact(standard_artifacts.TransformGraph, transform / "graph")],
            "features": [_artifact(artifact_types.Features, directory / "features")],
        }
        self.weights = _artifact(artifact_types.Weights, directory / "weights")
        self.model_run = _artifact(standard_artifacts.ModelRun, directory / "model_run")

    def run(self, settings: TrainerSettings = SETTINGS) -> None:
        """Calls the executor."""
        properties = {
            step.SETTINGS: to_property(settings, TrainerSettings, ["epochs"]),
            step.CODE: "code",
            "epochs": settings.epochs,
            "label": "transformer_2",
            "checkpoint_dir": str(self.checkpoint_dir),
        }
        Executor().Do(self.inputs, {"weights": [self.weights], "model_run": [self.model_run]}, properties)


def _artifact(artifact_type, directory: pathlib.Path):
    directory.mkdir(exist_ok=True)
    artifact = artifact_type()
    artifact.uri = str(directory)
    return artifact


@pytest.fixture
def launch(tmp_path, transform) -> Launch:
    return Launch(tmp_path, transform)


def test_weights_and_logs_are_written(launch):
    launch.run()
    model = weights.load(launch.weights.uri)
    assert model.settings == SETTINGS.model
    assert (model.inputs.vocabulary_size, model.inputs.max_length, model.inputs.grid) == (8, 4, (2, 2))
    description = weights.describe(launch.weights.uri)
    assert (description.label, description.feature_fingerprint) == ("transformer_2", launch.manifest.fingerprint)
    assert sorted(os.listdir(os.path.join(launch.model_run.uri, "logs"))) == ["train", "validation"]
    for output in (launch.weights, launch.model_run):
        assert output.get_string_custom_property(records.MODEL_LABEL) == "transformer_2"
    assert launch.weights.get_int_custom_property(records.NUM_PARAMETERS) == model.count_params() > 0
    # they are kept until the weights are recorded
    [directory] = launch.checkpoint_dir.iterdir()
    assert launch.weights.get_string_custom_property(records.CHECKPOINT_DIR) == str(directory)


def test_a_failed_training_writes_no_weights(launch):
    diverging = OptimizerSettings(peak_learning_rate=1e30, warmup_steps=1)
    with pytest.raises(FloatingPointError):
        launch.run(trainer_settings(optimizer=diverging))
    assert os.listdir(launch.weights.uri) == []


def test_a_corrupt_feature_shard_is_deleted(launch):
    [shard] = pathlib.Path(launch.manifest.directory).glob("*.tfrecord")
    content = bytearray(shard.read_bytes())
    content[20] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(CorruptShardError):
        launch.run()
    assert not shard.exists() and os.listdir(launch.weights.uri) == []


def test_initial_weights_come_from_the_base_model(launch, tmp_path, caplog):
    caplog.set_level("INFO", "captions.progress")
    inputs = ModelInputs(
        vocabulary_size=len(WORDS), grid=GRID, channels=CHANNELS, max_length=4, compute_dtype="float32"
    )
    directory = pathlib.Path(path_utils.serving_model_dir(str(tmp_path / "base")))
    directory.mkdir(parents=True)
    export(directory, weights.build(SETTINGS.model, inputs), launch.manifest.fingerprint)
    launch.inputs["base_model"] = [_artifact(standard_artifacts.Model, tmp_path / "base")]
    launch.run()
    assert f"Initial weights from {directory} (7 of 8 words)" in caplog.messages
