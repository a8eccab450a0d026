"""Settings of the tokenizer, which TFX's Transform runs."""

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT, Fraction


@dataclass(frozen=True, config=STRICT)
class TokenizerSettings:
    """Vocabulary and caption length."""

    vocabulary_size: PositiveInt = 5000
    """Maximum number of words in the vocabulary, the most frequent ones of the train split."""
    max_length_quantile: Fraction = 0.99
    """Fraction of the train captions that are not truncated; it sets the maximum length in words."""
    keep_digits: bool = True
    """Whether digits are part of words, in the captions and in the references of the evaluation; else they are cut from
    both."""
