"""What a word is: one definition for training captions, references and predictions.

A word is a run of letters and digits of any script, each with its marks, in lower case and in Unicode's composed form
(NFC). A mark without a letter, such as what is left of an emoji, is no word. `Tokenization` says where such a run is
divided, so that captions of scripts without blanks between words are more than one word.

Each function on text has a twin for TensorFlow: rules of RE2, pairs of a pattern and its replacement, which
`rewriting.rewrite` applies one after the other.
"""

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic.dataclasses import dataclass

from components.shared import unspaced
from components.shared.settings import STRICT

BLANK = "\u2581"  # the blank between two words where characters are the units, as in SentencePiece; a symbol, no letter
Unit = Literal["word", "character", "auto"]
Rules = list[tuple[str, str]]

_MARKS = r"\p{M}*"  # of a letter


@dataclass(frozen=True, config=STRICT)
class Tokenization:
    """What counts as a word."""

    unit: Unit = "auto"
    """What captions are divided into, in training and for all metrics: `word`, what stands between blanks and
    punctuation; `character`, each letter and digit with its marks, and the blanks; `auto`, words, but characters in the
    scripts without blanks between words: Chinese, Japanese, Thai, Lao, Khmer and Burmese."""
    keep_digits: bool = True
    """Whether digits are part of words, in the captions and in the references of the evaluation; else they are cut from
    both."""


def split_words(sentence: str, tokenization: Tokenization) -> list[str]:
    """Splits a sentence into its words.

    The PTB tokenizer of COCO's server needs Java, and differs in that it keeps a word's apostrophe ("man 's").

    >>> split_words("A man's 2 dogs run, fast!", Tokenization())
    ['a', 'man', 's', '2', 'dogs', 'run', 'fast']
    >>> split_words("一只dog在跑。", Tokenization())
    ['一', '只', 'dog', '在', '跑']
    >>> split_words("A dog", Tokenization(unit="character"))
    ['a', '▁', 'd', 'o', 'g']
    """
    tokens = compose(sentence).lower().translate(_translation(tokenization.keep_digits)).split()
    words = [word for word in map(_strip_marks, tokens) if word]
    is_divided = tokenization.unit == "character" or (tokenization.unit == "auto" and unspaced.occurs_in(sentence))
    return divide(" ".join(words), tokenization.unit) if is_divided else words


def divide(text: str, unit: Unit = "auto") -> list[str]:
    """Divides a text into units, see `Tokenization`, without a change to it: case and punctuation stay.

    >>> divide("一只Dog, 在跑")
    ['一', '只', 'Dog,', '在', '跑']
    """
    if unit == "character":
        return [BLANK if cluster == " " else cluster for cluster in _clusters(_join(divide(text)))]
    if unit == "word" or not unspaced.occurs_in(text):
        return text.split()
    parts: list[str] = []
    for token in text.split():
        is_divided = True
        for cluster in _clusters(token):
            is_letter = unspaced.begins(cluster)
            if is_divided or is_letter:
                parts.append(cluster)
            else:
                parts[-1] += cluster
            is_divided = is_letter
    return parts


def split_rules(tokenization: Tokenization) -> Rules:
    """The rules that make of a lower-case sentence in normal form the words of `split_words`, between single blanks."""
    letters = r"\p{L}\p{N}" if tokenization.keep_digits else r"\p{L}"
    # what follows a separator up to the next letter are more of them, or marks of none
    words = [(rf"(^|[^{letters}\p{{M}}])[^{letters}]*", " "), ("^ | $", "")]
    if tokenization.unit == "character":
        return [*words, *_WITHOUT_BLANKS, (" ", BLANK), (rf"(\P{{M}}{_MARKS})", r"\1 "), (" $", "")]
    if tokenization.unit == "auto":
        return [*words, (rf"([{unspaced.LETTERS}]{_MARKS})", r" \1 "), ("  +", " "), ("^ | $", "")]
    return words


def join_rules(tokenization: Tokenization) -> Rules:
    """The rules that make a text for readers of words between single blanks: `split_words` finds the same words in it.

    "一 只 dog 在 跑" -> "一只dog在跑"
    """
    if tokenization.unit == "character":
        return [(" ", ""), (f"{BLANK}+", " "), ("^ | $", "")]
    return _WITHOUT_BLANKS if tokenization.unit == "auto" else []


def compose(text: str) -> str:
    """Returns a text in the normal form in which words are compared, Unicode's NFC: "e" and an accent are "é"."""
    return unicodedata.normalize("NFC", text)


# no blank on either side of a letter of an unspaced script
_WITHOUT_BLANKS: Rules = [(rf" *([{unspaced.LETTERS}]{_MARKS}) *", r"\1")]


def _join(words: Sequence[str]) -> str:
    """Joins the words of `divide` as `_WITHOUT_BLANKS` does."""
    text, is_letter = "", True
    for word in words:
        was_letter, is_letter = is_letter, unspaced.begins(word)
        text += word if was_letter or is_letter else f" {word}"
    return text


def _clusters(text: str) -> Iterator[str]:
    """Yields each character with the marks that follow it."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _category(text[end]) != "M":
            yield text[start:end]
            start = end


class _Translation(dict[int, int]):
    """Code point -> itself inside a word, else a blank; filled on demand."""

    def __init__(self, categories: str):
        super().__init__()
        self._categories = categories

    def __missing__(self, code: int) -> int:
        self[code] = code if _category(chr(code)) in self._categories else ord(" ")
        return self[code]


@functools.cache
def _translation(keep_digits: bool) -> _Translation:
    return _Translation("LMN" if keep_digits else "LM")


def _strip_marks(token: str) -> str:
    """Removes the marks at the beginning of a token, which belong to no letter."""
    start = 0
    while start < len(token) and _category(token[start]) == "M":
        start += 1
    return token[start:]


def _category(character: str) -> str:
    """The first letter of a character's category: L for letters, M for marks, N for digits and other numbers."""
    return unicodedata.category(character)[0]
