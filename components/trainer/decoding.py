"""Greedy and beam search in the graph: the picture is encoded once, and each word costs one step of the decoder.

Models are told apart by nothing: whatever has `encode`, `start`, `step` and `reorder` of `CaptionTransformer` will do.

In the shape comments: P pictures, K beams, L tokens that are decided (words and <end>), V vocabulary.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from components.records import END_ID, PAD_ID, START_ID, UNK_ID
from components.trainer.layers import kernels_cast_once

NEVER = -1e9  # log-probability of what may not be said


@dataclasses.dataclass(frozen=True)
class DecodingSettings:
    """How a trained model puts words together.

    Attributes:
      beam_size: captions of a picture that are followed at once; 1: the likeliest word after word.
      length_penalty: alpha of Wu et al. 2016, see `length_penalty`; 0: none.
      min_words: no caption ends before it has so many.
      max_words: and none has more; 0: as many as the model was trained on.
    """

    beam_size: int = 3
    length_penalty: float = 0.6
    min_words: int = 1
    max_words: int = 0


def decode(model: Any, features: tf.Tensor, settings: DecodingSettings) -> tuple[tf.Tensor, tf.Tensor]:
    """Captions pictures.

    Args:
      model: trained.
      features: float [P, N, C].
      settings: how.

    Returns:
      ids: int32 [P, L], words without <start>, then <end>, then padding; never <unk>.
      score: float32 [P], the caption's log-probability (natural logarithm), <end> included.
    """
    length = model.settings.max_length - 1
    if settings.max_words:
        length = min(length, settings.max_words + 1)
    with kernels_cast_once(model):
        if settings.beam_size == 1:
            return greedy(model, features, length, settings.min_words)
        return beam_search(model, features, length, settings.min_words, settings.beam_size, settings.length_penalty)


def greedy(model: Any, features: tf.Tensor, length: int, least: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest word after word, at least `least` of them; the last of `length` tokens is <end>. See `decode`."""
    batch = tf.shape(features)[0]
    past, memories = model.start(model.encode(features), 1)
    said = tf.fill([batch, length], PAD_ID)  # (P, L)
    last, ended, score = tf.fill([batch], START_ID), tf.zeros([batch], tf.bool), tf.zeros([batch])

    def body(position, said, last, ended, score, past):
        logits, past = model.step(last, position, past, memories)  # (P, V)
        word = tf.argmax(logits + _barrier(logits, position, length, least), axis=1, output_type=tf.int32)  # (P,)
        chance = tf.gather(logits, word, batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)  # (P,)
        word, chance = tf.where(ended, PAD_ID, word), tf.where(ended, 0.0, chance)
        said += (word - PAD_ID)[:, None] * tf.one_hot(position, length, dtype=tf.int32)
        return position + 1, said, word, ended | (word == END_ID), score + chance, past

    state = (0, said, last, ended, score, past)
    _, said, _, _, score, _ = tf.while_loop(
        lambda position, said, last, ended, *_: ~tf.reduce_all(ended), body, state, shape_invariants=_shapes(state)
    )
    return said, score


@dataclasses.dataclass
class Beams:
    """The state of a beam search; as a tuple in the loop."""

    position: Any  # int32 [], tokens decided so far
    alive_ids: Any  # int32 [P, K, L], captions that go on
    alive_score: Any  # float32 [P, K], their log-probabilities, the best first
    ended_ids: Any  # int32 [P, L], the best caption that has ended
    ended_score: Any  # float32 [P], its log-probability divided by the length penalty
    ended_number: Any  # int32 [P], captions that have ended
    last: Any  # int32 [P·K], the last tokens of those that go on
    past: Any  # of the model, for those that go on

    def to_tuple(self) -> tuple:
        """The fields in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def length_penalty(length: Any, alpha: float) -> tf.Tensor:
    """((5 + length) / 6)^alpha: Wu et al. 2016, formula 14, https://arxiv.org/abs/1609.08144; length counts <end>."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** alpha


def beam_search(
    model: Any, features: tf.Tensor, length: int, least: int, beams: int, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The caption of the best score among those that a beam of the likeliest beginnings leads to; see `decode`.

    The score of a caption is its log-probability divided by the length penalty. The search for a picture is over when
    no caption that goes on can come to a better score than the best that has ended; or, once as many captions as there
    are beams have ended, when none would if it ended now. What its company still does changes nothing.
    """
    batch = tf.shape(features)[0]
    past, memories = model.start(model.encode(features), beams)
    # all beams begin alike: only the first counts at first
    alone = tf.tile(tf.constant([[0.0] + [NEVER] * (beams - 1)]), [batch, 1])
    state = Beams(
        position=0,
        alive_ids=tf.fill([batch, beams, length], PAD_ID),
        alive_score=alone,
        ended_ids=tf.fill([batch, length], PAD_ID),
        ended_score=tf.fill([batch], 2 * NEVER),
        ended_number=tf.zeros([batch], tf.int32),
        last=tf.fill([batch * beams], START_ID),
        past=past,
    ).to_tuple()

    def goes_on(*state):
        now = Beams(*state)
        return (now.position < length) & tf.reduce_any(_searches(now, length, alpha))

    def body(*state):
        return _one_word_more(model, Beams(*state), memories, length, least, alpha).to_tuple()

    found = Beams(*tf.while_loop(goes_on, body, state, shape_invariants=_shapes(state)))
    lengths = tf.math.count_nonzero(found.ended_ids != PAD_ID, axis=1)
    return found.ended_ids, found.ended_score * length_penalty(lengths, alpha)


def _searches(now: Beams, length: int, alpha: float) -> tf.Tensor:
    """Whether the search for a picture is not over: bool [P]."""
    best = now.alive_score[:, 0]
    # a log-probability only falls, and the penalty favours length: no caption can come to more than this
    is_possible = best / length_penalty(length, max(alpha, 0.0)) > now.ended_score
    is_likely = best / length_penalty(now.position + 1, alpha) > now.ended_score  # if it ended with the next word
    return is_possible & (is_likely | (now.ended_number < now.alive_ids.shape[1]))


def _one_word_more(model: Any, now: Beams, memories: Any, length: int, least: int, alpha: float) -> Beams:
    """Looks at the 2K likeliest continuations: at most K of them end, so that K go on.

    One that ends counts if it is among the K likeliest, so that a beam of one is greedy.
    """
    beams = now.alive_ids.shape[1]
    logits, past = model.step(now.last, now.position, now.past, memories)  # (P·K, V)
    chances = tf.nn.log_softmax(logits) + _barrier(logits, now.position, length, least)  # (P·K, V)
    # no beam has more than 2K of the 2K likeliest: (P·K, c)
    chances, word = tf.math.top_k(chances, min(2 * beams, logits.shape[-1]))
    scores = tf.reshape(now.alive_score, [-1, 1]) + chances
    of_a_beam = chances.shape[-1]
    scores, choice = tf.math.top_k(tf.reshape(scores, (-1, beams * of_a_beam)), 2 * beams)  # (P, 2K)
    beam, word = choice // of_a_beam, tf.gather(tf.reshape(word, (-1, beams * of_a_beam)), choice, batch_dims=1)
    ids = tf.gather(now.alive_ids, beam, batch_dims=1)  # (P, 2K, L)
    ids += (word - PAD_ID)[..., None] * tf.one_hot(now.position, length, dtype=tf.int32)
    ends = word == END_ID  # (P, 2K)

    ended = tf.where(ends, scores, 2 * NEVER)[:, :beams] / length_penalty(now.position + 1, alpha)  # (P, K)
    best = tf.argmax(ended, axis=1)  # (P,)
    ended_score, ended_ids = tf.gather(ended, best, batch_dims=1), tf.gather(ids, best, batch_dims=1)  # (P,), (P, L)
    is_better = (ended_score > now.ended_score) & _searches(now, length, alpha)
    ended_score = tf.where(is_better, ended_score, now.ended_score)
    ended_ids = tf.where(is_better[:, None], ended_ids, now.ended_ids)

    newly = tf.math.count_nonzero((ends & (scores > NEVER / 2))[:, :beams], axis=1, dtype=tf.int32)  # (P,)

    alive_score, kept = tf.math.top_k(tf.where(ends, 2 * NEVER, scores), beams)  # (P, K)
    alive_ids, last = tf.gather(ids, kept, batch_dims=1), tf.gather(word, kept, batch_dims=1)
    rows = tf.gather(beam, kept, batch_dims=1) + beams * tf.range(tf.shape(beam)[0])[:, None]
    past = model.reorder(past, tf.reshape(rows, [-1]))
    number, last = now.ended_number + newly, tf.reshape(last, [-1])
    return Beams(now.position + 1, alive_ids, alive_score, ended_ids, ended_score, number, last, past)


def _barrier(logits: tf.Tensor, position: tf.Tensor, length: int, least: int) -> tf.Tensor:
    """What keeps words from being said after `position` others: 0 or NEVER, float32 [V]."""
    word = tf.range(logits.shape[-1])
    is_never = (word == PAD_ID) | (word == UNK_ID) | (word == START_ID)
    is_too_early = (word == END_ID) & (position < min(least, length - 1))
    is_too_late = (word != END_ID) & (position == length - 1)
    return tf.where(is_never | is_too_early | is_too_late, NEVER, 0.0)


def _shapes(state: tuple) -> Any:
    """What may change its shape in the loop: the past of a model grows, all else stays."""

    def shape(tensor: Any) -> tf.TensorShape:
        return tf.convert_to_tensor(tensor).shape

    def loose(tensor: tf.Tensor) -> tf.TensorShape:
        return tf.TensorShape([None if size == 0 else size for size in tensor.shape])

    return (*map(shape, state[:-1]), tf.nest.map_structure(loose, state[-1]))
