"""Settings of the tokenizer, which TFX's Transform runs."""

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT, Fraction
from components.shared.words import Tokenization


@dataclass(frozen=True, config=STRICT)
class TokenizerSettings(Tokenization):
    """Vocabulary and caption length."""

    vocabulary_size: PositiveInt = 5000
    """Maximum number of words in the vocabulary, the most frequent ones of the train split."""
    max_length_quantile: Fraction = 0.99
    """Fraction of the train captions that are not truncated; it sets the maximum length in words."""
