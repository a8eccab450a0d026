"""Small SavedModels that return fixed captions, and the test images that they caption."""

import hashlib
import json
import pathlib

import tensorflow as tf
from tfx.types.artifact import Artifact

from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.test_set import TestSet
from components.shared import records
from components.shared.words import Tokenization

TEST_IMAGES = {"a.jpg": ["a dog runs in the snow"], "b.jpg": ["a cat sleeps on the mat", "the cat is asleep"]}
CAPTIONS = {"a.jpg": "a dog runs in the snow", "b.jpg": "a cat sleeps on the mat", "other.jpg": "not in test"}
FINGERPRINT = "fingerprint of the features"


def new_evaluation(references: dict[str, list[str]], **settings) -> Evaluation:
    """An evaluation of test images with these references, without METEOR and slices unless they are asked for."""
    names = list(references)
    examples = [{"image_uri": [name], "sha256": [name]} for name in names]
    parsed = BleuEvaluatorSettings(**{"num_bootstrap_samples": 20, "meteor": False, "slices": (), **settings})
    return Evaluation(TestSet(names, names, list(references.values()), examples), frozenset(), parsed, Tokenization())


def artifact(artifact_type: type[Artifact], uri: pathlib.Path, artifact_id: int = 0) -> Artifact:
    new = artifact_type()
    new.uri, new.id = str(uri), artifact_id
    uri.mkdir(parents=True, exist_ok=True)
    return new


def save_model(directory: pathlib.Path, captions: dict[str, str], fingerprint: str = FINGERPRINT) -> None:
    """A model with fixed captions: features hold the image's number, files hold its name."""
    module = tf.Module()
    by_number = tf.constant([captions[name] for name in CAPTIONS])
    keys, values = tf.constant(list(captions)), tf.constant(list(captions.values()))
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), "")
    module.table = table

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 1], tf.float16, "features")])
    def from_features(features):
        return {"caption": tf.gather(by_number, tf.cast(features[:, 0, 0], tf.int32))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve(image_bytes):
        captions = table.lookup(image_bytes)
        return {"caption": captions, "ok": captions != ""}

    path = str(directory / "Format-Serving")
    tf.saved_model.save(module, path, signatures={"from_features": from_features, "serving_default": serve})
    (directory / "Format-Serving" / "assets.extra").mkdir()
    (directory / "Format-Serving" / "assets.extra" / "captioner.json").write_text(
        json.dumps({"feature_fingerprint": fingerprint})
    )


def write_split(
    directory: pathlib.Path,
    split: str,
    captions: dict[str, list[str]],
    contents: dict[str, str] | None = None,
) -> None:
    """Writes a split whose files contain their names; `contents` maps some to other content."""
    (directory / f"Split-{split}").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(directory / f"Split-{split}" / "data.gz"), "GZIP") as writer:
        for name, sentences in captions.items():
            fields = {records.IMAGE_ID: [name], records.IMAGE_URI: [name], records.CAPTIONS: sentences}
            fields[records.SHA256] = [hashlib.sha256((contents or {}).get(name, name).encode()).hexdigest()]
            features = {
                field: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
                for field, values in fields.items()
            }
            features["objects"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[len(sentences)]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
