import contextlib

import keras
import numpy as np
import tensorflow as tf

from components.shared.models.layers import Dense, TiedEmbedding, all_layers, precast_kernels
from tests.components.shared.models import reference_numpy

X = tf.constant(np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))


def count_casts_in_loop(model: keras.Model, context) -> int:
    @tf.function
    def loop(x):
        with context:
            return tf.while_loop(lambda turn, x: turn < 3, lambda turn, x: (turn + 1, model(x)), (0, x))[1]

    functions = loop.get_concrete_function(X).graph.as_graph_def().library.function
    [body] = [function for function in functions if "while_body" in function.signature.name]
    return sum(node.op == "Cast" for node in body.node_def)


def assert_one_cast_is_spared(model, expected):
    with precast_kernels(model):
        assert np.array_equal(model(X), expected)
    once, every_iteration = (
        count_casts_in_loop(model, context) for context in (precast_kernels(model), contextlib.nullcontext())
    )
    assert every_iteration == once + 1


def test_kernels_are_cast_once():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([Dense(5, "bfloat16"), Dense(5, "float32")])
    expected = model(X)
    assert_one_cast_is_spared(model, expected)


def test_a_tied_embedding_is_cast_once():
    keras.utils.set_random_seed(0)
    embedding = TiedEmbedding(7, 5, "bfloat16", "uniform")
    embedding(tf.constant([0]))

    class Loop(keras.Model):
        """Nothing but the embedding, whose logits are embedded again."""

        def __init__(self):
            super().__init__()
            self.embedding = embedding

        def call(self, x):
            return self.embedding(tf.argmax(self.embedding.logits(x), axis=1))

    model = Loop()
    expected = model(X)
    assert_one_cast_is_spared(model, expected)


def test_all_layers_are_found_in_lists_and_in_other_layers():
    class Nested(keras.Model):
        """A model with layers in a list, and in a model."""

        def __init__(self):
            super().__init__()
            self.listed = [Dense(2, "float32"), Dense(3, "float32")]
            self.inner = keras.Sequential([Dense(4, "float32")])

    found = [layer.units for layer in all_layers(Nested()) if isinstance(layer, Dense)]
    assert sorted(found) == [2, 3, 4], f"Keras {keras.__version__}; the private method was seen with 3.12 and 3.15"


def test_a_dense_layer_takes_one_caption_per_image():
    # with keras.layers.Dense this very shape makes oneDNN in TensorFlow 2.16 read beyond its input and crash
    x = np.random.default_rng(0).normal(size=(60, 1, 16, 256)).astype(np.float32)
    dense = Dense(256, "float32")
    y = tf.function(dense)(tf.constant(x))
    np.testing.assert_allclose(y, reference_numpy.affine(dense, x), atol=1e-4)
