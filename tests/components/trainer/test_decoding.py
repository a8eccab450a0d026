import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.records import END_ID, PAD_ID, START_ID, UNK_ID
from components.trainer import decoding
from components.trainer.attention import AttentionCaptioner, AttentionSettings
from components.trainer.decoding import DecodingSettings, beam_search, decode, greedy
from components.trainer.transformer import CaptionTransformer, TransformerSettings

WORDS = (4, 5, 6)
SIZES = {"vocabulary_size": 7, "grid": (2, 2), "channels": 3, "max_length": 7, "d_model": 8}
TRANSFORMER = TransformerSettings(**SIZES, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=16)
FEATURES = tf.constant(np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32))


def make(model, sharpness: float):
    """With weights so large that captions differ and end at different lengths."""
    model({"features": FEATURES, "tokens": tf.fill((len(FEATURES), 1, 2), START_ID)})
    model.set_weights([sharpness * weight for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module", params=["transformer", "attention"])
def model(request):
    if request.param == "transformer":
        keras.utils.set_random_seed(5)
        return make(CaptionTransformer(TRANSFORMER), 4.0)
    keras.utils.set_random_seed(3)
    return make(AttentionCaptioner(AttentionSettings(**SIZES, units=6)), 5.0)


def log_chances(model, features: tf.Tensor, captions: np.ndarray) -> np.ndarray:
    """Of whole captions of one length for one picture: int [n, T], <end> included -> float64 [n]."""
    tokens = np.pad(captions, ((0, 0), (1, 0)), constant_values=START_ID)[None, :, :-1]
    logits = model({"features": features[None], "tokens": tf.constant(tokens, tf.int32)}).numpy().astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    said = np.take_along_axis(chances, captions.reshape(-1, 1), axis=1)
    return said.reshape(captions.shape).sum(1)


def best_of_all(model, features, length: int, least: int, alpha: float) -> tuple[list[int], float]:
    """The best of all captions that there can be."""
    found = []
    for words in range(least, length):
        captions = np.array([[*said, END_ID] for said in itertools.product(WORDS, repeat=words)])
        chances = log_chances(model, features, captions)
        best = int(chances.argmax())
        found.append((chances[best] / ((6 + words) / 6) ** alpha, captions[best].tolist(), chances[best]))
    _, caption, chance = max(found)
    return caption, chance


def word_by_word(model, features, length: int, least: int) -> tuple[list[int], float]:
    """One picture, the whole model again for every word."""
    said: list[int] = []
    while END_ID not in said:
        tokens = tf.constant([[[START_ID, *said]]], tf.int32)
        logits = model({"features": features[None], "tokens": tokens}).numpy()[-1]
        allowed = [END_ID] if len(said) == length - 1 else [*WORDS] + [END_ID] * (len(said) >= least)
        said.append(max(allowed, key=lambda word: logits[word]))
    return said, log_chances(model, features, np.array([said]))[0]


def check(ids, scores, expected) -> None:
    for row, score, (caption, chance) in zip(ids.numpy(), scores.numpy(), expected, strict=True):
        assert row.tolist() == caption + [PAD_ID] * (len(row) - len(caption))
        assert score == pytest.approx(chance, abs=1e-4)


@pytest.mark.parametrize(("length", "least"), [(6, 1), (6, 3), (3, 1), (3, 2), (2, 1)])
def test_greedy_takes_the_likeliest_word_after_word(model, length, least):
    expected = [word_by_word(model, picture, length, least) for picture in FEATURES]
    check(*greedy(model, FEATURES, length, least), expected)
    if (length, least) == (6, 1):
        lengths = {len(caption) for caption, _ in expected}
        assert len(lengths) > 1, "the pictures of this test should give captions of different lengths"


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("length", "least"), [(4, 1), (4, 3), (3, 2)])
def test_a_beam_of_all_captions_finds_the_best_of_all(model, length, least, alpha):
    expected = [best_of_all(model, picture, length, least, alpha) for picture in FEATURES]
    check(*beam_search(model, FEATURES, length, least, beams=4 * 3**3, alpha=alpha), expected)


def test_the_length_penalty_favours_longer_captions(model):
    lengths = [[len(best_of_all(model, picture, 5, 1, alpha)[0]) for picture in FEATURES] for alpha in (0.0, 2.0)]
    assert all(short <= long for short, long in zip(*lengths, strict=True)) and lengths[0] != lengths[1]


def test_a_beam_of_one_is_greedy(model):
    for length, least in [(6, 1), (3, 2)]:
        ours, theirs = beam_search(model, FEATURES, length, least, 1, 0.0), greedy(model, FEATURES, length, least)
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)


def test_a_beam_finds_captions_at_least_as_likely_as_greedys(model):
    _, narrow = greedy(model, FEATURES, 6)
    _, wide = beam_search(model, FEATURES, 6, 1, 5, 0.0)
    assert (wide.numpy() >= narrow.numpy() - 1e-5).all() and (wide.numpy() > narrow.numpy() + 1e-3).any()


def test_a_picture_alone_is_as_in_company(model):
    for beams in (1, 3):
        settings = DecodingSettings(beam_size=beams)
        ids, scores = decode(model, FEATURES, settings)
        for picture in range(len(FEATURES)):
            alone, score = decode(model, FEATURES[picture : picture + 1], settings)
            np.testing.assert_array_equal(alone[0], ids[picture])
            np.testing.assert_allclose(score[0], scores[picture], atol=1e-4)


def test_the_same_in_a_graph(model):
    for beams in (1, 3):
        settings = DecodingSettings(beam_size=beams)
        graph = tf.function(
            lambda features, settings=settings: decode(model, features, settings), reduce_retracing=True
        )
        for pictures in (4, 2):
            ours, theirs = graph(FEATURES[:pictures]), decode(model, FEATURES[:pictures], settings)
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_no_picture_no_caption(model, beams):
    ids, scores = decode(model, FEATURES[:0], DecodingSettings(beam_size=beams))
    assert (ids.shape, scores.shape) == ((0, 6), (0,))


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("least", "most"), [(1, 0), (1, 2), (3, 4), (4, 4), (9, 3), (1, 99)])
def test_captions_have_as_many_words_as_they_may(model, beams, least, most):
    ids, _ = decode(model, FEATURES, DecodingSettings(beams, 0.6, least, most))
    lengths = np.argmax(ids.numpy() == END_ID, axis=1)
    longest = min(most or 99, SIZES["max_length"] - 2)
    assert lengths.min() >= min(least, longest) and lengths.max() <= longest


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("word", [PAD_ID, UNK_ID, START_ID, END_ID])
def test_what_is_no_word_is_never_said(model, beams, word):
    bias = model.to_logits.bias.numpy()
    model.to_logits.bias.assign(bias + 100 * np.eye(7, dtype="f")[word])
    ids, _ = decode(model, FEATURES, DecodingSettings(beam_size=beams))
    model.to_logits.bias.assign(bias)
    for caption in ids.numpy().tolist():
        end = caption.index(END_ID)
        assert end and not set(caption[:end]) - set(WORDS) and not any(caption[end + 1 :])
        assert word != END_ID or end == 1, "a caption is never empty, but ends where it may"


class Scripted:
    """A model that says the same of every picture, and counts its steps; its past is what was said, (B, t)."""

    def __init__(self, chances: dict[tuple[int, ...], dict[int, float]]):
        self.chances, self.steps = chances, 0
        self.settings = dataclasses.replace(TRANSFORMER, max_length=20)

    def encode(self, features):
        return features

    def start(self, memory, captions):
        return tf.zeros((tf.shape(memory)[0] * captions, 0), tf.int32), ()

    def reorder(self, past, rows):
        return tf.gather(past, rows)

    def step(self, tokens, position, past, memories):
        self.steps += 1
        past = tf.concat([past, tokens[:, None]], axis=1)
        logits = np.full((len(past), 7), -20.0, np.float32)
        for row, (_, *said) in enumerate(past.numpy().tolist()):
            for word, chance in self.chances.get(tuple(said), {END_ID: 1.0}).items():
                logits[row, word] = np.log(chance)
        return tf.constant(logits), past


def test_greedy_stops_when_all_have_ended():
    model = Scripted({(): {4: 0.9}, (4,): {5: 0.9}})
    ids, _ = greedy(model, FEATURES, 19)
    assert ids[0, :3].numpy().tolist() == [4, 5, END_ID] and model.steps == 3


def test_beam_search_stops_when_nothing_better_can_come():
    # once "4 <end>" has ended, "5 …" may come to no more than log(0.1) / ((5 + 19) / 6)^0.6 = -1.0
    model = Scripted({(): {4: 0.9, 5: 0.1}, (5,): {6: 1.0}, (5, 6): {6: 1.0}})
    ids, _ = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :2].numpy().tolist() == [4, END_ID] and model.steps == 2


def test_beam_search_waits_while_something_better_may_come():
    # "4 <end>" has ended at log(0.5); "5 6 6 <end>" is as likely, and the penalty favours it
    model = Scripted({(): {4: 0.5, 5: 0.5}, (5,): {6: 1.0}, (5, 6): {6: 1.0}})
    ids, score = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :4].numpy().tolist() == [5, 6, 6, END_ID] and 4 <= model.steps < 19
    assert float(score[0]) == pytest.approx(np.log(0.5), abs=1e-4)


def test_beam_search_stops_when_as_many_as_its_beams_have_ended():
    # "4 <end>" and "5 <end>" have ended; "6 6 6 …" might still come to more, by the length penalty alone
    goes_on = {(6,) * n: {6: 1.0} for n in range(1, 19)}
    model = Scripted({(): {4: 0.4, 5: 0.35, 6: 0.25}} | goes_on)
    ids, _ = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :2].numpy().tolist() == [4, END_ID] and model.steps == 2


def test_beam_search_finds_what_greedy_misses():
    model = Scripted({(): {4: 0.6, 5: 0.4}, (4,): {5: 0.3, 6: 0.3, 4: 0.4}, (5,): {END_ID: 1.0}})
    assert greedy(model, FEATURES, 19)[0][0, 0] == 4
    assert beam_search(model, FEATURES, 19, 1, 2, 0.0)[0][0, :2].numpy().tolist() == [5, END_ID]


def test_the_length_penalty_is_the_papers():
    assert float(decoding.length_penalty(7, 0.6)) == pytest.approx(2**0.6)
    assert float(decoding.length_penalty(1, 0.6)) == 1.0 == float(decoding.length_penalty(9, 0.0))
