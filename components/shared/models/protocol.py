"""What every captioning model offers: to be added to the registry, a model needs nothing else.

A model is constructed as `Model(settings, inputs)` and is a `keras.Model`: its weights are trained, saved and exported
as Keras and TensorFlow track them.

In the shape comments: P images, n captions (or beams) per image, B = P·n captions in total, T tokens of the longest
caption, R tokens in total without padding, N = rows·columns positions of the feature map, C its channels, D the width
of the encoder's output, V vocabulary size.
"""

from typing import Any, Literal, Protocol, TypedDict

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT

ComputeDtype = Literal["float32", "bfloat16"]
# a model's own nest of tensors that grows with every decoded token; a dimension of size 0 is one that grows
Cache = Any
# a model's own nest of tensors that stays the same while captions are decoded
Context = Any


@dataclass(frozen=True, config=STRICT)
class ModelInputs:
    """What the data and the machine decide about a model, beside its settings."""

    vocabulary_size: PositiveInt
    """Number of tokens in the vocabulary, V, reserved tokens included."""
    grid: tuple[PositiveInt, PositiveInt]
    """Rows and columns of the feature map."""
    channels: PositiveInt
    """Channels of the feature map, C."""
    max_length: PositiveInt
    """Maximum number of tokens per caption, <start> and <end> included."""
    compute_dtype: ComputeDtype
    """Dtype of matrix multiplications; bfloat16 halves the memory they read. Everything else is float32."""

    @property
    def num_positions(self) -> int:
        """Number of positions of the feature map, N."""
        return self.grid[0] * self.grid[1]


class Batch(TypedDict):
    """One batch of images and captions."""

    features: Any  # float [P, N, C]
    tokens: Any  # int [P, n, T], padding only at the end of each caption


class CaptionModel(Protocol):
    """A captioning model, at training and at decoding time.

    Attributes:
      settings: the instance of the model's settings class that it was constructed with.
      inputs: the `ModelInputs` that it was constructed with.
    """

    settings: Any
    inputs: ModelInputs

    def __call__(self, batch: Batch, training: bool = False) -> Any:
        """Computes the logits of the token after each token that is not padding: float32 [R, V], in row-major order."""

    def encode(self, features: Any, training: bool = False) -> Any:
        """Encodes images once for all their captions: float [P, N, C] -> encoder state, float32 [P, N, D]."""

    def init_cache(self, encoder_state: Any, captions_per_image: int) -> tuple[Cache, Context]:
        """Prepares the decoding of captions.

        Args:
          encoder_state: the output of `encode`, float32 [P, N, D].
          captions_per_image: the number of captions to decode per image, n; an image's captions are neighbors.

        Returns:
          (cache, context): the first and the last argument of `decode_step` that are the model's own.
        """

    def decode_step(self, tokens: Any, position: Any, cache: Cache, context: Context) -> tuple[Any, Cache]:
        """Decodes one more token of each caption.

        Args:
          tokens: the last tokens, int32 [B].
          position: their position, int32 [], 0 for <start>.
          cache: the cache of `init_cache`, or of the last step.
          context: the context of `init_cache`.

        Returns:
          (logits, cache): the logits of the next token, float32 [B, V], and the cache with these tokens in it.
        """

    def reorder_cache(self, cache: Cache, rows: Any) -> Cache:
        """Lets each caption continue another one: for each caption the one to continue, int32 [B]."""

    def attention(self, tokens: Any, encoder_state: Any) -> Any:
        """Computes the attention weights over the feature map while each token is read.

        Args:
          tokens: int [P, n, T], padding only at the end of each caption.
          encoder_state: the output of `encode`, float32 [P, N, D].

        Returns:
          float32 [P, n, T, N]; the weights of a token sum to 1, those of padding are 0.
        """
