"""Building blocks of the captioning models: tokens as rows without padding, and matrix multiplications.

In the shape comments: P images, n captions per image, B = P·n, T tokens of the longest caption, R tokens in total
without padding.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from components.shared.records import PAD_ID


class Packing:
    """The positions of the tokens of padded captions: converts between (B, T, …) and rows without padding (R, …)."""

    def __init__(self, tokens: tf.Tensor):
        """Finds the tokens.

        Args:
          tokens: int [P, n, T], padding only at the end of each caption: attention is causal, so no token ever sees it.
        """
        self.num_images, self.captions_per_image, self.length = tf.unstack(tf.shape(tokens))
        flat = tf.reshape(tokens, (-1, self.length))  # (B, T)
        self.indices = tf.where(flat != PAD_ID)  # (R, 2): caption, position
        self.tokens = tf.gather_nd(flat, self.indices)  # (R,)

    @property
    def positions(self) -> tf.Tensor:
        """Position of each token in its caption: int64 (R,)."""
        return self.indices[:, 1]

    def pack(self, x: tf.Tensor) -> tf.Tensor:
        """(B, T, D) -> (R, D)."""
        return tf.gather_nd(x, self.indices)

    def unpack(self, rows: tf.Tensor) -> tf.Tensor:
        """(R, D) -> (B, T, D), zero at padding."""
        shape = (self.num_images * self.captions_per_image, self.length, rows.shape[-1])
        return tf.scatter_nd(self.indices, rows, tf.cast(tf.stack(shape), tf.int64))

    def join(self, x: tf.Tensor) -> tf.Tensor:
        """Joins an image's captions into one long sequence: (B, T, D) -> (P, n·T, D)."""
        return tf.reshape(x, (self.num_images, self.captions_per_image * self.length, x.shape[-1]))

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """Splits an image's sequence into its captions: (P, n·T, D) -> (B, T, D)."""
        return tf.reshape(x, (self.num_images * self.captions_per_image, self.length, x.shape[-1]))


def matmul(x: tf.Tensor, kernel: tf.Tensor, dtype: str, transpose_kernel: bool = False) -> tf.Tensor:
    """Multiplies (R, C) by (C, D), or by (D, C) transposed, in a dtype -> float32 (R, D)."""
    y = tf.matmul(tf.cast(x, dtype), tf.cast(kernel, dtype), transpose_b=transpose_kernel)
    return tf.cast(y, tf.float32)


class Dense(layers.Layer):
    """A dense layer as one multiplication of two matrices: (..., C) -> (..., units).

    Keras's own computes many small matrix multiplications, and some of rank 4, (60, 1, 16, 256), crash oneDNN in
    TensorFlow 2.16. A dtype policy is no alternative: mixed_bfloat16 would round biases, residual sums and logits too,
    and cast each kernel in every iteration of a decoding loop.
    """

    def __init__(
        self,
        units: int,
        matmul_dtype: str,
        activation: Callable[[tf.Tensor], tf.Tensor] | None = None,
        init_scale: float = 1.0,
    ):
        super().__init__()
        self.units, self.matmul_dtype, self.activation = units, matmul_dtype, activation
        # Glorot and Bengio 2010, formula 16, times the scale
        self.initializer = keras.initializers.VarianceScaling(init_scale**2, "fan_avg", "uniform")
        self.precast_matrix: tf.Tensor | None = None  # see `precast_kernels`

    @property
    def matrix(self) -> Any:
        """The matrix that inputs are multiplied by."""
        return self.kernel

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer=self.initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x):
        kernel = self.kernel if self.precast_matrix is None else self.precast_matrix
        y = matmul(tf.reshape(x, (-1, x.shape[-1])), kernel, self.matmul_dtype) + self.bias  # (rows, units)
        y = self.activation(y) if self.activation else y
        return tf.reshape(y, tf.concat([tf.shape(x)[:-1], [self.units]], axis=0))


class TiedEmbedding(layers.Embedding):
    """An embedding whose matrix also computes the logits (Press and Wolf 2017, https://arxiv.org/abs/1608.05859)."""

    def __init__(self, vocabulary_size: int, depth: int, matmul_dtype: str, initializer: Any):
        super().__init__(vocabulary_size, depth, initializer)
        self.matmul_dtype = matmul_dtype
        self.precast_matrix: tf.Tensor | None = None  # see `precast_kernels`

    @property
    def matrix(self) -> Any:
        """The matrix that inputs are multiplied by."""
        return self.embeddings

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """(R, D) -> (R, V)."""
        matrix = self.embeddings if self.precast_matrix is None else self.precast_matrix
        return matmul(x, matrix, self.matmul_dtype, transpose_kernel=True)


@contextlib.contextmanager
def precast_kernels(model: keras.Model) -> Iterator[None]:
    """Casts the matrices of a built model's layers to their `matmul_dtype` once, for all that is in the block.

    A loop in the graph would cast them in every iteration, which doubles the time of a decoding step.
    """
    cast = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, Dense | TiedEmbedding) and layer.matmul_dtype != "float32"
    ]
    for layer in cast:
        layer.precast_matrix = tf.cast(layer.matrix, layer.matmul_dtype)
    try:
        yield
    finally:
        for layer in cast:
            layer.precast_matrix = None


def all_layers(model: keras.Model) -> list[layers.Layer]:
    """A model's layers at any depth, which Keras lists in a private method only; seen with Keras 3.12 and 3.15."""
    return list(model._flatten_layers())
