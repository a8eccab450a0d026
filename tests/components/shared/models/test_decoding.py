import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.shared.models import decoding, weights
from components.shared.models.decoding import beam_search, decode, greedy
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import GRUSettings, TransformerSettings
from components.shared.records import END_ID, PAD_ID, START_ID, UNK_ID
from tests.components.shared.models.toy import ToyCaptioner, ToySettings

WORDS = (4, 5, 6)
INPUTS = ModelInputs(vocabulary_size=7, grid=(2, 2), channels=3, max_length=7, compute_dtype="float32")
TRANSFORMER = TransformerSettings(num_encoder_layers=1, num_decoder_layers=1, d_model=8, num_heads=2, ffn_dim=16)
FEATURES = tf.constant(np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32))


@pytest.fixture(scope="module", params=["transformer", "gru"])
def model(request):
    """A model with weights so large that captions differ and end at different lengths."""
    seed, scale, settings = {"transformer": (5, 4.0, TRANSFORMER), "gru": (3, 5.0, GRUSettings(d_model=8, units=6))}[
        request.param
    ]
    keras.utils.set_random_seed(seed)
    model = weights.build(settings, INPUTS)
    model.set_weights([scale * weight for weight in model.get_weights()])
    return model


def caption_log_probs(model, features: tf.Tensor, captions: np.ndarray) -> np.ndarray:
    """Log-probabilities of whole captions of one length for one image: int [n, T], <end> included -> float64 [n]."""
    tokens = np.pad(captions, ((0, 0), (1, 0)), constant_values=START_ID)[None, :, :-1]
    logits = model({"features": features[None], "tokens": tf.constant(tokens, tf.int32)}).numpy().astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_probs, captions.reshape(-1, 1), axis=1)
    return picked.reshape(captions.shape).sum(1)


def exhaustive_search(model, features, length: int, min_length: int, alpha: float) -> tuple[list[int], float]:
    """The best of all possible captions, and its log-probability."""
    candidates = []
    for num_words in range(min_length, length):
        captions = np.array([[*words, END_ID] for words in itertools.product(WORDS, repeat=num_words)])
        log_probs = caption_log_probs(model, features, captions)
        best = int(log_probs.argmax())
        candidates.append((log_probs[best] / ((6 + num_words) / 6) ** alpha, captions[best].tolist(), log_probs[best]))
    _, caption, log_prob = max(candidates)
    return caption, log_prob


def greedy_without_cache(model, features, length: int, min_length: int) -> tuple[list[int], float]:
    """The most probable token at each step for one image, by a full pass of the model for every token."""
    ids: list[int] = []
    while END_ID not in ids:
        tokens = tf.constant([[[START_ID, *ids]]], tf.int32)
        logits = model({"features": features[None], "tokens": tokens}).numpy()[-1]
        allowed = [END_ID] if len(ids) == length - 1 else [*WORDS] + [END_ID] * (len(ids) >= min_length)
        ids.append(max(allowed, key=lambda token: logits[token]))
    return ids, caption_log_probs(model, features, np.array([ids]))[0]


def check(ids, log_probs, expected) -> None:
    for row, log_prob, (caption, expected_log_prob) in zip(ids.numpy(), log_probs.numpy(), expected, strict=True):
        assert row.tolist() == caption + [PAD_ID] * (len(row) - len(caption))
        assert log_prob == pytest.approx(expected_log_prob, abs=1e-4)


@pytest.mark.parametrize(("length", "min_length"), [(6, 1), (6, 3), (3, 1), (3, 2), (2, 1)])
def test_greedy_takes_the_most_probable_token_at_each_step(model, length, min_length):
    expected = [greedy_without_cache(model, image, length, min_length) for image in FEATURES]
    check(*greedy(model, FEATURES, length, min_length), expected)
    if (length, min_length) == (6, 1):
        lengths = {len(caption) for caption, _ in expected}
        assert len(lengths) > 1, "the images of this test should give captions of different lengths"


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("length", "min_length"), [(4, 1), (4, 3), (3, 2)])
def test_a_beam_of_all_captions_equals_exhaustive_search(model, length, min_length, alpha):
    expected = [exhaustive_search(model, image, length, min_length, alpha) for image in FEATURES]
    check(*beam_search(model, FEATURES, length, min_length, beam_size=4 * 3**3, alpha=alpha), expected)


def test_the_length_penalty_favors_longer_captions(model):
    short, long = ([len(exhaustive_search(model, image, 5, 1, alpha)[0]) for image in FEATURES] for alpha in (0.0, 2.0))
    assert all(a <= b for a, b in zip(short, long, strict=True)) and short != long


def test_a_beam_of_one_is_greedy(model):
    for length, min_length in [(6, 1), (3, 2)]:
        ids, log_probs = beam_search(model, FEATURES, length, min_length, 1, 0.0)
        greedy_ids, greedy_log_probs = greedy(model, FEATURES, length, min_length)
        np.testing.assert_array_equal(ids, greedy_ids)
        np.testing.assert_allclose(log_probs, greedy_log_probs, atol=1e-5)


def test_beam_search_finds_captions_at_least_as_probable_as_greedy(model):
    _, narrow = greedy(model, FEATURES, 6, 1)
    _, wide = beam_search(model, FEATURES, 6, 1, 5, 0.0)
    assert (wide.numpy() >= narrow.numpy() - 1e-5).all() and (wide.numpy() > narrow.numpy() + 1e-3).any()


def test_other_images_of_the_batch_change_nothing(model):
    for beam_size in (1, 3):
        settings = DecodingSettings(beam_size=beam_size)
        ids, log_probs = decode(model, FEATURES, settings)
        for image in range(len(FEATURES)):
            single_ids, single_log_probs = decode(model, FEATURES[image : image + 1], settings)
            np.testing.assert_array_equal(single_ids[0], ids[image])
            np.testing.assert_allclose(single_log_probs[0], log_probs[image], atol=1e-4)


@pytest.mark.slow
def test_a_graph_decodes_as_eager_mode_does(model):
    for beam_size in (1, 3):
        settings = DecodingSettings(beam_size=beam_size)
        graph = tf.function(
            lambda features, settings=settings: decode(model, features, settings), reduce_retracing=True
        )
        for num_images in (4, 2):
            ids, log_probs = graph(FEATURES[:num_images])
            eager_ids, eager_log_probs = decode(model, FEATURES[:num_images], settings)
            np.testing.assert_array_equal(ids, eager_ids)
            np.testing.assert_allclose(log_probs, eager_log_probs, atol=1e-4)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_empty_batch_gives_no_captions(model, beam_size):
    ids, log_probs = decode(model, FEATURES[:0], DecodingSettings(beam_size=beam_size))
    assert (ids.shape, log_probs.shape) == ((0, 6), (0,))


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize(("min_length", "max_length"), [(1, 0), (1, 2), (3, 4), (4, 4), (9, 0), (1, 99)])
def test_captions_have_as_many_words_as_allowed(model, beam_size, min_length, max_length):
    ids, _ = decode(model, FEATURES, DecodingSettings(beam_size, 0.6, min_length, max_length))
    lengths = np.argmax(ids.numpy() == END_ID, axis=1)
    longest = min(max_length or 99, INPUTS.max_length - 2)
    assert lengths.min() >= min(min_length, longest) and lengths.max() <= longest


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("token", [PAD_ID, UNK_ID, START_ID, END_ID])
def test_reserved_tokens_are_never_decoded(model, beam_size, token):
    bias = model.output_proj.bias.numpy()
    model.output_proj.bias.assign(bias + 100 * np.eye(7, dtype="f")[token])
    ids, _ = decode(model, FEATURES, DecodingSettings(beam_size=beam_size))
    model.output_proj.bias.assign(bias)
    for caption in ids.numpy().tolist():
        end = caption.index(END_ID)
        assert end and not set(caption[:end]) - set(WORDS) and not any(caption[end + 1 :])
        assert token != END_ID or end == 1, "a caption is never empty, but ends where it may"


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(("beam_size", "value"), [(1, NAN), (3, INFINITY)])
def test_an_image_whose_features_are_not_finite_costs_its_own_caption_alone(model, beam_size, value):
    settings = DecodingSettings(beam_size=beam_size, min_length=2)
    expected_ids, expected_log_probs = decode(model, FEATURES, settings)
    features = FEATURES.numpy()
    features[2, 1, 0] = value
    graph = tf.function(lambda features: decode(model, features, settings))
    ids, log_probs = graph(tf.constant(features))
    others = [0, 1, 3]
    np.testing.assert_array_equal(ids.numpy()[others], expected_ids.numpy()[others])
    np.testing.assert_allclose(log_probs.numpy()[others], expected_log_probs.numpy()[others], atol=1e-4)
    assert ids.numpy()[2].tolist() == [END_ID] + [PAD_ID] * 5 and log_probs[2] == decoding.NEG_INF


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("token", range(7))
def test_a_logit_that_is_not_finite_empties_the_caption(beam_size, value, token):
    class Broken(ScriptedModel):
        """A model that computes a bad logit for one image at its second step."""

        def decode_step(self, tokens, position, cache, context):
            logits, cache = super().decode_step(tokens, position, cache, context)
            logits = logits.numpy()
            if position == 1:
                logits[2 * beam_size : 3 * beam_size, token] = value
            return tf.constant(logits), cache

    probs = {(): {4: 0.9, 6: 0.1}, (4,): {5: 0.9, 6: 0.1}}
    model = Broken(probs)
    ids, log_probs = (
        greedy(model, FEATURES, 19, 1) if beam_size == 1 else beam_search(model, FEATURES, 19, 1, beam_size, 0.6)
    )
    assert ids.numpy()[2].tolist() == [END_ID] + [PAD_ID] * 18 and log_probs[2] == decoding.NEG_INF
    assert [row[:3] for row in ids.numpy()[[0, 1, 3]].tolist()] == [[4, 5, END_ID]] * 3


def test_a_model_that_never_ends_is_stopped():
    model = ScriptedModel({(5,) * n: {5: 1.0} for n in range(19)})
    for ids, _ in (greedy(model, FEATURES, 9, 1), beam_search(model, FEATURES, 9, 1, 2, 0.6)):
        assert ids.numpy().tolist() == [[5] * 8 + [END_ID]] * 4


class ScriptedModel:
    """A model with given probabilities, the same for every image, that counts its steps; its cache is the tokens."""

    def __init__(self, probs: dict[tuple[int, ...], dict[int, float]]):
        self.probs, self.num_steps = probs, 0
        self.settings, self.inputs = (
            None,
            ModelInputs(vocabulary_size=7, grid=(2, 2), channels=3, max_length=20, compute_dtype="float32"),
        )

    def encode(self, features, training=False):
        return features

    def init_cache(self, encoder_state, captions_per_image):
        return tf.zeros((tf.shape(encoder_state)[0] * captions_per_image, 0), tf.int32), ()

    def reorder_cache(self, cache, rows):
        return tf.gather(cache, rows)

    def decode_step(self, tokens, position, cache, context):
        self.num_steps += 1
        cache = tf.concat([cache, tokens[:, None]], axis=1)
        logits = np.full((len(cache), 7), -20.0, np.float32)
        for row, (_, *words) in enumerate(cache.numpy().tolist()):
            for token, prob in self.probs.get(tuple(words), {END_ID: 1.0}).items():
                logits[row, token] = np.log(prob)
        return tf.constant(logits), cache


def test_greedy_stops_when_all_captions_are_finished():
    model = ScriptedModel({(): {4: 0.9}, (4,): {5: 0.9}})
    ids, _ = greedy(model, FEATURES, 19, 1)
    assert ids[0, :3].numpy().tolist() == [4, 5, END_ID] and model.num_steps == 3


def test_beam_search_stops_when_nothing_better_is_possible():
    # once "4 <end>" is finished, "5 …" can reach no more than log(0.1) / ((5 + 19) / 6)^0.6 = -1.0
    model = ScriptedModel({(): {4: 0.9, 5: 0.1}, (5,): {6: 1.0}, (5, 6): {6: 1.0}})
    ids, _ = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :2].numpy().tolist() == [4, END_ID] and model.num_steps == 2


def test_beam_search_continues_while_something_better_is_possible():
    # "4 <end>" is finished at log(0.5); "5 6 6 <end>" is as probable, and the penalty favors it
    model = ScriptedModel({(): {4: 0.5, 5: 0.5}, (5,): {6: 1.0}, (5, 6): {6: 1.0}})
    ids, log_probs = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :4].numpy().tolist() == [5, 6, 6, END_ID] and 4 <= model.num_steps < 19
    assert float(log_probs[0]) == pytest.approx(np.log(0.5), abs=1e-4)


def test_beam_search_stops_when_a_beam_of_captions_is_finished():
    # "4 <end>" and "5 <end>" are finished; "6 6 6 …" could still reach more, by the length penalty alone
    repeats = {(6,) * n: {6: 1.0} for n in range(1, 19)}
    model = ScriptedModel({(): {4: 0.4, 5: 0.35, 6: 0.25}} | repeats)
    ids, _ = beam_search(model, FEATURES, 19, 1, 2, 0.6)
    assert ids[0, :2].numpy().tolist() == [4, END_ID] and model.num_steps == 2


def test_beam_search_finds_what_greedy_misses():
    model = ScriptedModel({(): {4: 0.6, 5: 0.4}, (4,): {5: 0.3, 6: 0.3, 4: 0.4}, (5,): {END_ID: 1.0}})
    assert greedy(model, FEATURES, 19, 1)[0][0, 0] == 4
    assert beam_search(model, FEATURES, 19, 1, 2, 0.0)[0][0, :2].numpy().tolist() == [5, END_ID]


def test_the_length_penalty_is_the_papers():
    assert float(decoding.length_penalty(7, 0.6)) == pytest.approx(2**0.6)
    assert float(decoding.length_penalty(1, 0.6)) == 1.0 == float(decoding.length_penalty(9, 0.0))


def test_a_minimum_length_above_the_maximum_is_refused():
    with pytest.raises(ValueError, match="max_length 3 is less than min_length 9"):
        DecodingSettings(min_length=9, max_length=3)


@pytest.mark.parametrize("settings", [TRANSFORMER, GRUSettings(d_model=8, units=6)], ids=lambda settings: settings.name)
def test_samples_are_drawn_from_the_model(settings):
    keras.utils.set_random_seed(0)
    model = weights.build(settings, INPUTS)
    num_samples, seed = 3000, tf.constant([0, 1])
    samples = decoding.sample(model, FEATURES[:2], num_samples, seed)
    assert samples.shape == (2, num_samples, INPUTS.max_length - 1) and samples.dtype == tf.int32
    logits = model({"features": FEATURES[:2], "tokens": tf.fill([2, 1, 1], START_ID)}).numpy()  # of the first word
    logits[:, [PAD_ID, UNK_ID, START_ID]] = -np.inf
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    first = np.stack([np.bincount(row, minlength=INPUTS.vocabulary_size) for row in samples[:, :, 0].numpy()])
    np.testing.assert_allclose(first / num_samples, expected, atol=0.03)


def test_equal_seeds_draw_equal_captions(model):
    first, again, other = (
        decoding.sample(model, FEATURES, 20, tf.constant(seed)).numpy() for seed in ([0, 1], [0, 1], [0, 2])
    )
    assert (first == again).all() and (first != other).any()
    for row in first.reshape(-1, first.shape[-1]):
        words = row[: list(row).index(END_ID)]
        assert set(words) <= set(WORDS) and (row[len(words) + 1 :] == PAD_ID).all()


def test_samples_of_one_step_tell_nothing_of_the_next():
    model = ToyCaptioner(ToySettings(), INPUTS)
    model({"features": FEATURES[:1], "tokens": tf.fill([1, 1, 1], START_ID)})
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])  # all words are equally likely
    step, next_step = (decoding.sample(model, FEATURES[:1], 2000, tf.constant([0, n])).numpy()[0] for n in (1, 2))
    for words, others in ((step, next_step), (step[:, 1:], next_step[:, :-1]), (step[:, :-1], step[:, 1:])):
        both = (words > END_ID) & (others > END_ID)
        assert both.sum() > 1000
        assert (words == others)[both].mean() == pytest.approx(1 / len(WORDS), abs=0.05)
