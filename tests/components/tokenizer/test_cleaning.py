import pytest
import tensorflow as tf

from components.tokenizer.cleaning import clean


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("A Dog runs .", "a dog runs"),
        ("I saw a man's 2 dogs!", "i saw a man s dogs"),
        ("well-known,no space;  tabs\tand\nlines", "well known no space tabs and lines"),
        ("Ein GRÜNER Café-Tisch", "ein grüner café tisch"),
        ("cafe\u0301", "cafe\u0301"),  # an accent of its own stays with its letter
        ("ΣΚΎΛΟΣ собака 狗", "σκύλος собака 狗"),
        ("<start> trick <end>", "start trick end"),
        ("1234 .,!", ""),
        ("", ""),
    ],
)
def test_clean(raw, cleaned):
    assert clean(tf.constant([raw])).numpy()[0].decode() == cleaned
