"""The words that are scored: one tokenization for predictions and references, apart from what the models clean."""

import unicodedata


class _Translation(dict[int, int]):
    """Code point -> itself where it is of a word, else a blank; filled as text comes."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        return self[code]


_TRANSLATION = _Translation()


def tokenize(sentence: str) -> list[str]:
    """Lower case; a word is a run of letters, marks and digits of any script, and all else only separates.

    Not the PTB tokenizer of COCO's server, which wants Java: that one keeps a word's apostrophe ("man 's").

    >>> tokenize("A man's 2 dogs run, fast!")
    ['a', 'man', 's', '2', 'dogs', 'run', 'fast']
    """
    return unicodedata.normalize("NFC", sentence).lower().translate(_TRANSLATION).split()
