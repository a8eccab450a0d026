"""What a word is: one definition for training captions, references and predictions.

A word is a run of letters and digits of any script, each with its marks, in lower case and in Unicode's composed form
(NFC). A mark without a letter, such as what is left of an emoji, is no word.
"""

import functools
import unicodedata


def non_words(keep_digits: bool) -> str:
    """Returns the regular expression of what lies between two words, for RE2: TensorFlow's form of `split_words`.

    Args:
      keep_digits: whether digits are part of words; otherwise they separate words, as punctuation does.
    """
    letters = r"\p{L}\p{N}" if keep_digits else r"\p{L}"
    # what follows a separator up to the next letter are more of them, or marks of none
    return rf"(^|[^{letters}\p{{M}}])[^{letters}]*"


def split_words(sentence: str, keep_digits: bool) -> list[str]:
    """Splits a sentence into its words.

    The PTB tokenizer of COCO's server needs Java, and differs in that it keeps a word's apostrophe ("man 's").

    >>> split_words("A man's 2 dogs run, fast!", keep_digits=True)
    ['a', 'man', 's', '2', 'dogs', 'run', 'fast']

    Args:
      sentence: the raw sentence.
      keep_digits: see `non_words`.
    """
    tokens = compose(sentence).lower().translate(_translation(keep_digits)).split()
    return [word for word in map(_strip_marks, tokens) if word]


def compose(text: str) -> str:
    """Returns a text in the normal form in which words are compared, Unicode's NFC: "e" and an accent are "é"."""
    return unicodedata.normalize("NFC", text)


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
