"""What the captioning models are built of: words as rows without padding, and products of matrices.

In the shape comments: P pictures, n captions a picture, B = P·n, T words of the longest caption, R words in all.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import layers

from components.records import PAD_ID


class Packing:
    """Where the words of padded captions are: between (B, T, …) and rows without padding (R, …)."""

    def __init__(self, tokens: tf.Tensor):
        """Finds them.

        Args:
          tokens: int [P, n, T], padding at the end of each caption alone: so no word ever sees any, as none sees what
            comes after it.
        """
        self.pictures, self.captions, self.length = tf.unstack(tf.shape(tokens))
        flat = tf.reshape(tokens, (-1, self.length))  # (B, T)
        self.places = tf.where(flat != PAD_ID)  # (R, 2): caption, place
        self.words = tf.gather_nd(flat, self.places)  # (R,)

    def pack(self, x: tf.Tensor) -> tf.Tensor:
        """(B, T, D) -> (R, D)."""
        return tf.gather_nd(x, self.places)

    def unpack(self, rows: tf.Tensor) -> tf.Tensor:
        """(R, D) -> (B, T, D), zero where nothing is."""
        shape = (self.pictures * self.captions, self.length, rows.shape[-1])
        return tf.scatter_nd(self.places, rows, tf.cast(tf.stack(shape), tf.int64))

    def join(self, x: tf.Tensor) -> tf.Tensor:
        """A picture's captions as one long sequence: (B, T, D) -> (P, n·T, D)."""
        return tf.reshape(x, (self.pictures, self.captions * self.length, x.shape[-1]))

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """(P, n·T, D) -> (B, T, D)."""
        return tf.reshape(x, (self.pictures * self.captions, self.length, x.shape[-1]))


def product(x: tf.Tensor, kernel: tf.Tensor, precision: str, transposed: bool = False) -> tf.Tensor:
    """(R, C) times (C, D), or (D, C) if `transposed`, computed in a precision -> float32 (R, D)."""
    y = tf.matmul(tf.cast(x, precision), tf.cast(kernel, precision), transpose_b=transposed)
    return tf.cast(y, tf.float32)


class Dense(layers.Layer):
    """A dense layer as one product of two matrices: (..., C) -> (..., units).

    Keras's own makes many small products, and some of rank 4, (60, 1, 16, 256), crash oneDNN in TensorFlow 2.16.
    """

    def __init__(self, units: int, precision: str, activation=None, gain: float = 1.0):
        super().__init__()
        self.units, self.precision, self.activation = units, precision, activation
        # that of Glorot and Bengio 2010, formula 16, times the gain
        self.initializer = keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform")
        self.cast_kernel = None  # see `kernels_cast_once`

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer=self.initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x):
        kernel = self.kernel if self.cast_kernel is None else self.cast_kernel
        y = product(tf.reshape(x, (-1, x.shape[-1])), kernel, self.precision) + self.bias  # (rows, units)
        y = self.activation(y) if self.activation else y
        return tf.reshape(y, tf.concat([tf.shape(x)[:-1], [self.units]], axis=0))


@contextlib.contextmanager
def kernels_cast_once(model: keras.Model) -> Iterator[None]:
    """Within it, the kernels of a built model's `Dense` layers are in their precision already.

    A loop of the graph would cast them anew in every turn: twice the work of a step that reads few rows.
    """
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, Dense) and layer.precision != "float32"]
    for layer in dense:
        layer.cast_kernel = tf.cast(layer.kernel, layer.precision)
    try:
        yield
    finally:
        for layer in dense:
            layer.cast_kernel = None
