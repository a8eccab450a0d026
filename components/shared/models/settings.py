"""Settings of the captioning models, one class per model; `registry` names them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT

Dropout = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class TransformerSettings:
    """Hyperparameters of the transformer; the defaults are the reference of Vaswani et al. 2017, with 4 layers."""

    name: Literal["transformer"] = "transformer"
    """Name of the model."""
    num_encoder_layers: PositiveInt = 4
    """Number of encoder layers over the image's feature map."""
    num_decoder_layers: PositiveInt = 4
    """Number of decoder layers over the words."""
    d_model: PositiveInt = 512
    """Width of the model; a multiple of `num_heads` and of 4."""
    num_heads: PositiveInt = 8
    """Number of attention heads."""
    ffn_dim: PositiveInt = 2048
    """Width of the feed-forward layers' hidden layer."""
    dropout: Dropout = 0.1
    """Dropout rate of embeddings, attention weights and the outputs of sublayers."""
    norm_first: bool = True
    """Whether layer normalization precedes each sublayer (pre-norm) or follows it, as in the paper (post-norm)."""
    tie_embeddings: bool = False
    """Whether one matrix embeds the words and computes their logits."""

    def __post_init__(self) -> None:
        if self.d_model % self.num_heads or self.d_model % 4:
            raise ValueError(f"d_model {self.d_model} must be a multiple of num_heads ({self.num_heads}) and of 4")


@dataclass(frozen=True, config=STRICT)
class GRUSettings:
    """Hyperparameters of the GRU with Bahdanau attention."""

    name: Literal["gru"] = "gru"
    """Name of the model."""
    d_model: PositiveInt = 512
    """Width of the word embeddings and of each position of the feature map."""
    units: PositiveInt = 512
    """Number of GRU units, and the attention dimension."""
    dropout: Dropout = 0.1
    """Dropout rate of features, embeddings and the GRU's outputs."""
