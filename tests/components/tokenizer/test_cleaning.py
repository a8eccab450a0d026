import sys
import unicodedata

import pytest
import tensorflow as tf

from components.shared import words
from components.tokenizer.cleaning import clean

SENTENCES = [
    ("A Dog runs .", "a dog runs"),
    ("I saw a man's 2 dogs!", "i saw a man s 2 dogs"),
    ("a 3 year old, no. 10b", "a 3 year old no 10b"),
    ("well-known,no space;  tabs\tand\nlines", "well known no space tabs and lines"),
    ("Ein GRÜNER Café-Tisch", "ein grüner café tisch"),
    ("ΣΚΎΛΟΣ собака 狗", "σκύλος собака 狗"),
    ("नमस्ते दुनिया", "नमस्ते दुनिया"),  # marks stay with their letters
    ("<start> trick <end>", "start trick end"),
    ("i \u2764\ufe0f dogs\ufe0f", "i dogs\ufe0f"),  # a variation selector after a symbol is no word
    ("\u0301 \u0301a\u0301 -\u0301\u0302b", "a\u0301 b"),
    ("12 ٣ ½", "12 ٣ ½"),
    (".,!", ""),
    ("", ""),
]


@pytest.mark.parametrize(("raw", "cleaned"), SENTENCES)
def test_training_and_scoring_see_the_same_words(raw, cleaned):
    assert clean(tf.constant([words.compose(raw)]), keep_digits=True).numpy()[0].decode() == words.compose(cleaned)
    assert words.split_words(raw, keep_digits=True) == words.compose(cleaned).split()


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [("a 3 year old", "a year old"), ("no. 10b", "no b"), ("3\ufe0f\u20e3 dogs", "dogs"), ("12", "")],
)
def test_digits_can_be_dropped_in_both(raw, cleaned):
    assert clean(tf.constant([raw]), keep_digits=False).numpy()[0].decode() == cleaned
    assert words.split_words(raw, keep_digits=False) == cleaned.split()


@pytest.mark.parametrize("keep_digits", [True, False])
def test_every_character_is_treated_alike_in_both(keep_digits):
    # those that every version of Unicode in use knows, in their normal form
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] in "LMNPSZ"]
    known = [c for c in known if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c) and words.compose(c) == c]
    texts = [words.compose(f"A{character}b {character} {character}c") for character in known]
    cleaned = clean(tf.constant(texts), keep_digits).numpy().tolist()
    differing = [
        (text, clean_text.decode(), words.split_words(text, keep_digits))
        for text, clean_text in zip(texts, cleaned, strict=True)
        if clean_text.decode().split(" ") != words.split_words(text, keep_digits)
    ]
    assert not differing


def test_composed_and_decomposed_letters_are_one_word():
    assert words.split_words("cafe\u0301", True) == words.split_words("caf\u00e9", True) == ["caf\u00e9"]
