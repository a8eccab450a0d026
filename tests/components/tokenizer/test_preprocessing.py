"""The preprocessing function, run by the real TFX Transform library on a few captions."""

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio

from components.shared import record_files, records
from components.tokenizer import preprocessing
from tests.factories import ROOT

TRAIN = {
    "a": ["A dog runs .", "Two dogs run in the snow !"],
    "b": ["The dog", "A dog sleeps", "a dog"],
}
CONFIG = {"vocabulary_size": 4, "max_length_quantile": 0.8, "code": "0123"}


def serialize(image_id: str, captions: list[str]) -> bytes:
    def feature(*values: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    fields = {records.IMAGE_ID: feature(image_id), records.CAPTIONS: feature(*captions)}
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    """The analyzed function: (TFTransformOutput, a callable on {image id: captions})."""
    directory = tmp_path_factory.mktemp("transform")
    schema = text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())
    kept = [feature for feature in schema.feature if feature.name in (records.IMAGE_ID, records.CAPTIONS)]
    schema = schema_pb2.Schema(feature=kept)
    source = tfxio.TFExampleBeamRecord(physical_format="inmemory", schema=schema)
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(directory / "tmp")):
        raw = pipeline | beam.Create([serialize(*item) for item in TRAIN.items()]) | source.BeamSource()
        function = (raw, source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing.preprocessing_fn(inputs, CONFIG)
        )
        function | tft_beam.WriteTransformFn(str(directory / "out"))
    output = tft.TFTransformOutput(str(directory / "out"))
    layer = output.transform_features_layer()

    def apply(captions: dict[str, list[str]]) -> dict[str, tf.Tensor]:
        serialized = tf.constant([serialize(*item) for item in captions.items()])
        spec = {
            records.IMAGE_ID: record_files.EXAMPLE_SPEC[records.IMAGE_ID],
            records.CAPTIONS: tf.io.VarLenFeature(tf.string),
        }
        return layer(tf.io.parse_example(serialized, spec))

    return output, apply


def test_the_vocabulary_is_reserved_tokens_then_words_by_frequency(transform):
    output, _ = transform
    words = tf.io.gfile.GFile(output.vocabulary_file_by_name(records.VOCABULARY)).read().splitlines()
    assert words[:4] == ["<pad>", "<unk>", "<start>", "<end>"]
    assert words[4:6] == ["dog", "a"]
    assert len(words) == 8
    assert output.vocabulary_size_by_name(records.VOCABULARY) == 8


def test_ids_frame_every_caption(transform):
    _, apply = transform
    ids = apply({"x": ["A dog", "dog zebra a"]})[records.IDS].to_list()
    # four of the five captions of train have at most 5 tokens
    assert ids == [[[2, 5, 4, 3, 0], [2, 4, 1, 5, 3]]]


def test_a_long_caption_is_truncated_without_an_end_token(transform):
    _, apply = transform
    assert apply({"x": ["a dog a dog a dog"]})[records.IDS].to_list() == [[[2, 5, 4, 5, 4]]]


def test_images_keep_their_number_of_captions(transform):
    _, apply = transform
    out = apply({"x": ["a"], "y": ["a dog", "dog", "a"]})
    assert out[records.IDS].row_lengths().numpy().tolist() == [1, 3]
    assert out[records.IMAGE_ID].numpy().tolist() == [b"x", b"y"]


def test_references_are_in_full_and_never_unknown(transform):
    _, apply = transform
    references = tf.RaggedTensor.from_sparse(
        apply({"x": ["A zebra, far away , sleeps in 2 trees !"]})[records.REFERENCES]
    )
    assert references.to_list() == [[b"a zebra far away sleeps in 2 trees"]]


def test_a_sentence_without_blanks_has_a_word_per_character(transform):
    _, apply = transform
    out = apply({"x": ["一只Dog，在跑。"]})
    assert tf.RaggedTensor.from_sparse(out[records.REFERENCES]).to_list() == [["一 只 dog 在 跑".encode()]]
    assert out[records.IDS].to_list() == [[[2, 1, 1, 4, 1]]]  # dog is in the vocabulary


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, [[2, 7, 8, 3], [2, 9, 3, 0], [2, 3, 0, 0]]),
        (3, [[2, 7, 8], [2, 9, 3], [2, 3, 0]]),
        (6, [[2, 7, 8, 3, 0, 0], [2, 9, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]]),
    ],
)
def test_captions_are_framed_padded_and_truncated(length, expected):
    words = tf.ragged.constant([[7, 8], [9], []], dtype=tf.int64)
    framed = preprocessing.frame(words, tf.constant(length, tf.int64))
    np.testing.assert_array_equal(framed, expected)
