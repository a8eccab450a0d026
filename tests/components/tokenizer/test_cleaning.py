import itertools
import random
import re
import sys
import unicodedata
from collections.abc import Iterable

import pytest
import tensorflow as tf

from components.shared import rewriting, unspaced, words
from components.shared.words import Tokenization
from components.tokenizer.cleaning import clean

EVERY_CHARACTER = list(map(chr, range(sys.maxunicode + 1)))
UNITS = ("word", "character", "auto")
SENTENCES = [
    ("A Dog runs .", "a dog runs"),
    ("I saw a man's 2 dogs!", "i saw a man s 2 dogs"),
    ("a 3 year old, no. 10b", "a 3 year old no 10b"),
    ("well-known,no space;  tabs\tand\nlines", "well known no space tabs and lines"),
    ("Ein GRÜNER Café-Tisch", "ein grüner café tisch"),
    ("Zwei gru\u0308ne A\u0308pfel", "zwei grüne äpfel"),  # decomposed umlauts
    ("ΣΚΎΛΟΣ собака", "σκύλος собака"),
    ("नमस्ते दुनिया", "नमस्ते दुनिया"),  # marks stay with their letters
    ("एक काला कुत्ता घास पर दौड़ता है।", "एक काला कुत्ता घास पर दौड़ता है"),
    ("كلبٌ يركضُ، وطفلٌ يلعب!", "كلبٌ يركضُ وطفلٌ يلعب"),
    ("개 한 마리가 눈 위를 달린다.", "개 한 마리가 눈 위를 달린다"),
    ("<start> trick <end>", "start trick end"),
    ("i \u2764\ufe0f dogs\ufe0f", "i dogs\ufe0f"),  # a variation selector after a symbol is no word
    ("\u0301 \u0301a\u0301 -\u0301\u0302b", "a\u0301 b"),
    ("12 ٣ ½", "12 ٣ ½"),
    (".,!", ""),
    ("", ""),
]
UNSPACED = [
    ("一只狗在雪地里奔跑。", "一 只 狗 在 雪 地 里 奔 跑", "一只狗在雪地里奔跑"),
    ("一只dog在跑", "一 只 dog 在 跑", "一只dog在跑"),
    ("2只狗，3 只猫", "2 只 狗 3 只 猫", "2只狗3只猫"),
    ("穿T恤的人 in New York", "穿 t 恤 的 人 in new york", "穿t恤的人in new york"),
    ("ΣΚΎΛΟΣ собака 狗", "σκύλος собака 狗", "σκύλος собака狗"),
    ("二〇一二年", "二 〇 一 二 年", "二〇一二年"),
    ("白いシャツを着た人々。", "白 い シ ャ ツ を 着 た 人 々", "白いシャツを着た人々"),
    ("コーヒーと犬2匹とFrisbee", "コ ー ヒ ー と 犬 2 匹 と frisbee", "コーヒーと犬2匹とfrisbee"),
    ("か\u3099く", "が く", "がく"),  # a decomposed voiced kana
    ("สุนัขตัวหนึ่งวิ่ง", "สุ นั ข ตั ว ห นึ่ ง วิ่ ง", "สุนัขตัวหนึ่งวิ่ง"),
    ("ผู้ชาย ๒ คน", "ผู้ ช า ย ๒ ค น", "ผู้ชาย๒คน"),
    ("ໝາແລ່ນ", "ໝ າ ແ ລ່ ນ", "ໝາແລ່ນ"),
    ("ខ្មែរ", "ខ្ មែ រ", "ខ្មែរ"),
    ("ခွေးတစ်ကောင်", "ခွေး တ စ် ကော င်", "ခွေးတစ်ကောင်"),
]
CHARACTERS = [
    ("A Dog runs .", "a ▁ d o g ▁ r u n s", "a dog runs"),
    ("一只dog 在跑", "一 只 d o g 在 跑", "一只dog在跑"),
    ("दो कुत्ते", "दो ▁ कु त् ते", "दो कुत्ते"),
    ("gru\u0308n, 10", "g r ü n ▁ 1 0", "grün 10"),
    ("▁ a▁b", "a ▁ b", "a b"),
    ("!", "", ""),
]


def cleaned_by_tensorflow(raw: str, tokenization: Tokenization) -> str:
    return clean(tf.constant([words.compose(raw)]), tokenization).numpy()[0].decode()


def joined(text: str, tokenization: Tokenization) -> str:
    return rewriting.rewrite(tf.constant(text), words.join_rules(tokenization)).numpy().decode()


@pytest.mark.parametrize("unit", ["word", "auto"])
@pytest.mark.parametrize(("raw", "cleaned"), SENTENCES)
def test_training_and_scoring_see_the_same_words(raw, cleaned, unit):
    tokenization = Tokenization(unit)
    assert cleaned_by_tensorflow(raw, tokenization) == words.compose(cleaned)
    assert words.split_words(raw, tokenization) == words.compose(cleaned).split()
    assert joined(words.compose(cleaned), tokenization) == words.compose(cleaned)


@pytest.mark.parametrize(
    ("unit", "raw", "cleaned", "text"),
    [("auto", *case) for case in UNSPACED] + [("character", *case) for case in CHARACTERS],
)
def test_letters_are_words_and_are_joined_as_a_reader_expects(unit, raw, cleaned, text):
    tokenization = Tokenization(unit)
    assert cleaned_by_tensorflow(raw, tokenization) == cleaned
    assert words.split_words(raw, tokenization) == cleaned.split()
    assert joined(cleaned, tokenization) == text
    assert words.split_words(text, tokenization) == cleaned.split()


def test_by_words_a_sentence_without_blanks_is_one_word():
    assert words.split_words("一只狗，在跑", Tokenization("word")) == ["一只狗", "在跑"]
    assert cleaned_by_tensorflow("一只狗，在跑", Tokenization("word")) == "一只狗 在跑"
    assert joined("一只狗 在跑", Tokenization("word")) == "一只狗 在跑"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [("a 3 year old", "a year old"), ("no. 10b", "no b"), ("3\ufe0f\u20e3 dogs", "dogs"), ("12", ""), ("2只", "只")],
)
def test_digits_can_be_dropped_in_both(raw, cleaned):
    tokenization = Tokenization(keep_digits=False)
    assert cleaned_by_tensorflow(raw, tokenization) == cleaned
    assert words.split_words(raw, tokenization) == cleaned.split()


def known(characters: Iterable[str]) -> list[str]:
    """Those that every version of Unicode in use knows, in their normal form."""
    assigned = [c for c in characters if unicodedata.category(c)[0] in "LMNPSZ"]
    same = [c for c in assigned if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c)]
    return [c for c in same if words.compose(c) == c]


def assert_alike(texts: list[str], tokenization: Tokenization) -> None:
    """TensorFlow and Python find the same words, and find them again in the text for readers."""
    by_tensorflow = clean(tf.constant(texts), tokenization)
    readable = rewriting.rewrite(by_tensorflow, words.join_rules(tokenization)).numpy().tolist()
    differing = [
        (text, cleaned.decode(), found, for_readers.decode())
        for text, cleaned, for_readers in zip(texts, by_tensorflow.numpy().tolist(), readable, strict=True)
        if cleaned.decode() != " ".join(found := words.split_words(text, tokenization))
        or words.split_words(for_readers.decode(), tokenization) != found
    ]
    assert not differing


@pytest.mark.slow
@pytest.mark.parametrize("keep_digits", [True, False])
def test_every_character_is_treated_alike_in_both(keep_digits):
    texts = [words.compose(f"A{character}b {character} {character}c") for character in known(EVERY_CHARACTER)]
    assert_alike(texts, Tokenization(keep_digits=keep_digits))


@pytest.mark.parametrize(("unit", "keep_digits"), itertools.product(UNITS, (True, False)))
def test_mixed_scripts_are_treated_alike_in_both(unit, keep_digits):
    rng = random.Random(7)
    starts = (0x20, 0x41, 0xC0, 0x300, 0x627, 0x64B, 0x905, 0x93E, 0xE01, 0xE31, 0xE48, 0x1000, 0x102B, 0x1780, 0x17B6)
    starts += (0x2581, 0x3001, 0x3042, 0x3099, 0x30A2, 0x4E00, 0xAC00, 0xFF01, 0x1F600)
    alphabet = known(chr(code) for start in starts for code in range(start, start + 16)) + [" "] * 20
    texts = [words.compose("".join(rng.choices(alphabet, k=rng.randrange(30)))) for _ in range(1000)]
    assert_alike(texts, Tokenization(unit, keep_digits))


def test_unspaced_letters_are_all_letters_of_their_scripts_and_no_marks():
    names = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER ZERO")
    names += ("HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO LETTER", "THAI", "LAO", "KHMER", "MYANMAR")
    listed = set(re.findall(f"[{unspaced.LETTERS}]", "".join(EVERY_CHARACTER)))
    assert {unicodedata.category(c) for c in listed} <= {"Lo", "Lm", "Nl", "Cn"}  # Cn: not assigned yet
    of_scripts = [c for c in EVERY_CHARACTER if unicodedata.name(c, "").startswith(names)]
    assert {c for c in known(of_scripts) if unicodedata.category(c) in ("Lo", "Lm", "Nl")} <= listed


def test_composed_and_decomposed_letters_are_one_word():
    for text in ("cafe\u0301", "caf\u00e9"):
        assert words.split_words(text, Tokenization()) == ["caf\u00e9"]
