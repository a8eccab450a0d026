"""Settings of decoding, which the Exporter writes into the model."""

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT


@dataclass(frozen=True, config=STRICT)
class DecodingSettings:
    """Decoding of captions."""

    beam_size: PositiveInt = 3
    """Number of captions that beam search keeps per image; 1 decodes greedily."""
    length_penalty: NonNegativeFloat = 0.6
    """Alpha of the length penalty of Wu et al. 2016; 0 disables it."""
    min_length: PositiveInt = 1
    """Minimum number of words in a caption."""
    max_length: NonNegativeInt = 0
    """Maximum number of words in a caption; 0 allows as many as in training."""

    def __post_init__(self) -> None:
        if self.max_length and self.max_length < self.min_length:
            raise ValueError(f"max_length {self.max_length} is less than min_length {self.min_length}")
