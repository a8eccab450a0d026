"""The letters of unspaced scripts: those in which Chinese, Japanese, Thai, Lao, Khmer and Burmese are written.

Their words are not known without a dictionary, and so each letter is a word: BLEU and CIDEr of Chinese captions are
commonly computed on characters. Digits are not listed, but for the ideographic ones, nor are marks, which belong to
the letter before them. Tibetan is not here: its syllables have a punctuation mark between them.
"""

import re

_RANGES = (
    (0x0E01, 0x0E30), (0x0E32, 0x0E33), (0x0E40, 0x0E46),  # Thai
    (0x0E81, 0x0EB0), (0x0EB2, 0x0EB3), (0x0EBD, 0x0EC6), (0x0EDC, 0x0EDF),  # Lao
    (0x1000, 0x102A), (0x103F, 0x103F), (0x1050, 0x1055), (0x105A, 0x105D), (0x1061, 0x1061), (0x1065, 0x1066),
    (0x106E, 0x1070), (0x1075, 0x1081), (0x108E, 0x108E), (0xA9E0, 0xA9E4), (0xA9E6, 0xA9EF), (0xA9FA, 0xA9FE),
    (0xAA60, 0xAA76), (0xAA7A, 0xAA7A), (0xAA7E, 0xAA7F),  # Burmese (Myanmar)
    (0x1780, 0x17B3), (0x17D7, 0x17D7), (0x17DC, 0x17DC),  # Khmer
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x3FFFD),  # Han
    (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),  # Hiragana and Katakana
    (0x3105, 0x312F), (0x31A0, 0x31BF),  # Bopomofo
)  # fmt: skip

# what stands between [ and ] in a regular expression, of Python's `re` and of RE2
LETTERS = "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES)
_LETTER = re.compile(f"[{LETTERS}]")


def begins(text: str) -> bool:
    """Whether a text begins with a letter of an unspaced script."""
    return _LETTER.match(text) is not None


def occurs_in(text: str) -> bool:
    """Whether a letter of an unspaced script is in a text."""
    return not text.isascii() and _LETTER.search(text) is not None
