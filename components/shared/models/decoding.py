"""Greedy search, beam search and sampling in the graph.

An image is encoded once, and each token costs one step of the decoder.

Any model that satisfies `components.shared.models.protocol.CaptionModel` can be decoded.

In the shape comments: P images, K beams, L decoded tokens (words and <end>), V vocabulary size.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.layers import precast_kernels
from components.shared.models.protocol import CaptionModel
from components.shared.records import END_ID, PAD_ID, START_ID, UNK_ID

NEG_INF = -1e9  # log-probability of a token that is not allowed


def decode(model: CaptionModel, features: tf.Tensor, settings: DecodingSettings) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes one caption per image.

    Args:
      model: the trained model.
      features: the images' features, float [P, N, C].
      settings: the decoding settings.

    Returns:
      ids: int32 [P, L], words without <start>, then <end>, then padding; never <unk>.
      log_probs: float32 [P], the captions' log-probabilities (natural logarithm), <end> included.
      An image with a feature that is not finite, or for which the model computes such a logit, has no words, and the
      log-probability NEG_INF.
    """
    length = model.inputs.max_length - 1
    if settings.max_length:
        length = min(length, settings.max_length + 1)
    with precast_kernels(model):
        if settings.beam_size == 1:
            ids, log_probs = greedy(model, features, length, settings.min_length)
        else:
            ids, log_probs = beam_search(
                model, features, length, settings.min_length, settings.beam_size, settings.length_penalty
            )
    # not every model carries them to its logits: on some processors a ReLU makes 0 of NaN
    failed = ~tf.reduce_all(tf.math.is_finite(features), axis=[1, 2])
    return _without_failures(failed, ids, log_probs)


def greedy(model: CaptionModel, features: tf.Tensor, length: int, min_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the most probable token at each step.

    Args:
      model: the trained model.
      features: the images' features, float [P, N, C].
      length: the maximum number of tokens per caption, L; the last one is <end>.
      min_length: the minimum number of words per caption.

    Returns:
      (ids, log_probs), see `decode`.
    """
    return _choose_tokens(model, features, 1, length, min_length, lambda logits, _: logits)


def sample(model: CaptionModel, features: tf.Tensor, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws captions from the model's distribution, without the tokens that no caption has.

    Args:
      model: the model.
      features: the images' features, float [P, N, C].
      num_samples: the number of captions per image, n.
      seed: int [2]; equal seeds draw equal captions, and different ones independent captions.

    Returns:
      int32 [P, n, L], words, then <end>, then padding; those of an image whose logits are not finite have no words.
    """

    def add_noise(logits: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        # the maximum of logits with Gumbel noise is a sample: Maddison et al. 2014, arXiv 1411.0030
        seed_here = tf.random.experimental.stateless_fold_in(seed, position)
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed_here, minval=1e-20)
        return logits - tf.math.log(-tf.math.log(uniform))

    length = model.inputs.max_length - 1
    with precast_kernels(model):
        ids, _ = _choose_tokens(model, features, num_samples, length, 0, add_noise)
    return tf.reshape(ids, (-1, num_samples, length))


def _choose_tokens(
    model: CaptionModel,
    features: tf.Tensor,
    captions_per_image: int,
    length: int,
    min_length: int,
    score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the token with the highest score at each step.

    Args:
      model: the trained model.
      features: the images' features, float [P, N, C].
      captions_per_image: the number of captions per image, n.
      length: the maximum number of tokens per caption, L; the last one is <end>.
      min_length: the minimum number of words per caption.
      score: computes the scores of all tokens, (B, V), from their logits, (B, V), and the position, ().

    Returns:
      (ids, log_probs) of P·n captions, see `decode`.
    """
    batch = tf.shape(features)[0] * captions_per_image
    cache, context = model.init_cache(model.encode(features), captions_per_image)
    ids = tf.fill([batch, length], PAD_ID)  # (B, L)
    last, finished, log_probs = tf.fill([batch], START_ID), tf.zeros([batch], tf.bool), tf.zeros([batch])
    failed = tf.zeros([batch], tf.bool)

    def cond(position, ids, last, finished, *_):
        return (position < length) & ~tf.reduce_all(finished)

    def body(position, ids, last, finished, failed, log_probs, cache):
        logits, cache = model.decode_step(last, position, cache, context)  # (B, V)
        logits, is_finite = _replace_non_finite(logits)
        failed |= ~finished & ~is_finite
        logit_mask = _logit_mask(logits, position, length, min_length)
        token = tf.argmax(score(logits, position) + logit_mask, axis=1, output_type=tf.int32)  # (B,)
        log_prob = tf.gather(logits, token, batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)  # (B,)
        token, log_prob = tf.where(finished, PAD_ID, token), tf.where(finished, 0.0, log_prob)
        ids += (token - PAD_ID)[:, None] * tf.one_hot(position, length, dtype=tf.int32)
        return position + 1, ids, token, finished | (token == END_ID), failed, log_probs + log_prob, cache

    state = (0, ids, last, finished, failed, log_probs, cache)
    _, ids, _, _, failed, log_probs, _ = tf.while_loop(cond, body, state, shape_invariants=_shape_invariants(state))
    return _without_failures(failed, ids, log_probs)


@dataclasses.dataclass
class BeamState:
    """The state of a beam search; a tuple in the loop."""

    position: Any  # int32 [], number of decoded tokens
    alive_ids: Any  # int32 [P, K, L], captions that are not finished
    alive_log_probs: Any  # float32 [P, K], their log-probabilities in descending order
    finished_ids: Any  # int32 [P, L], the best finished caption
    finished_score: Any  # float32 [P], its log-probability divided by the length penalty
    num_finished: Any  # int32 [P], number of finished captions
    failed: Any  # bool [P], whether a logit was not finite
    last: Any  # int32 [P·K], the last tokens of the captions that are not finished
    cache: Any  # the model's cache of these captions

    def to_tuple(self) -> tuple:
        """The fields in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def length_penalty(length: Any, alpha: float) -> tf.Tensor:
    """((5 + length) / 6)^alpha: Wu et al. 2016, formula 14, https://arxiv.org/abs/1609.08144; length includes <end>."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** alpha


def beam_search(
    model: CaptionModel, features: tf.Tensor, length: int, min_length: int, beam_size: int, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the finished caption with the highest score, and its unnormalized log-probability.

    The score is the log-probability divided by the length penalty.

    The search for an image ends when no unfinished caption can reach a better score than the best finished one, or,
    once `beam_size` captions are finished, when none would if it ended now. Other images of the batch change nothing.

    Args:
      model: the trained model.
      features: the images' features, float [P, N, C].
      length: the maximum number of tokens per caption, L; the last one is <end>.
      min_length: the minimum number of words per caption.
      beam_size: the number of captions that are kept per image, K.
      alpha: the exponent of `length_penalty`.

    Returns:
      (ids, log_probs), see `decode`.
    """
    batch = tf.shape(features)[0]
    cache, context = model.init_cache(model.encode(features), beam_size)
    # all beams start equal, so only the first one counts at the first step
    initial_log_probs = tf.tile(tf.constant([[0.0] + [NEG_INF] * (beam_size - 1)]), [batch, 1])
    state = BeamState(
        position=0,
        alive_ids=tf.fill([batch, beam_size, length], PAD_ID),
        alive_log_probs=initial_log_probs,
        finished_ids=tf.fill([batch, length], PAD_ID),
        finished_score=tf.fill([batch], 2 * NEG_INF),
        num_finished=tf.zeros([batch], tf.int32),
        failed=tf.zeros([batch], tf.bool),
        last=tf.fill([batch * beam_size], START_ID),
        cache=cache,
    ).to_tuple()

    def cond(*state):
        beams = BeamState(*state)
        return (beams.position < length) & tf.reduce_any(_is_active(beams, length, alpha))

    def body(*state):
        return _beam_step(model, BeamState(*state), context, length, min_length, alpha).to_tuple()

    final = BeamState(*tf.while_loop(cond, body, state, shape_invariants=_shape_invariants(state)))
    lengths = tf.math.count_nonzero(final.finished_ids != PAD_ID, axis=1)
    log_probs = final.finished_score * length_penalty(lengths, alpha)
    return _without_failures(final.failed, final.finished_ids, log_probs)


def _is_active(beams: BeamState, length: int, alpha: float) -> tf.Tensor:
    """Whether each image's search continues: bool [P]."""
    best = beams.alive_log_probs[:, 0]
    # a log-probability only falls, and the penalty favors length: this bounds the score of every unfinished caption
    is_possible = best / length_penalty(length, max(alpha, 0.0)) > beams.finished_score
    is_likely = best / length_penalty(beams.position + 1, alpha) > beams.finished_score  # if it ended at this step
    return is_possible & (is_likely | (beams.num_finished < beams.alive_ids.shape[1]))


def _beam_step(
    model: CaptionModel, beams: BeamState, context: Any, length: int, min_length: int, alpha: float
) -> BeamState:
    """Extends the captions by one token: of the best 2K continuations at most K end, so K remain.

    A continuation that ends counts if it is among the best K, so a beam of one is greedy.
    """
    beam_size = beams.alive_ids.shape[1]
    logits, cache = model.decode_step(beams.last, beams.position, beams.cache, context)  # (P·K, V)
    logits, is_finite = _replace_non_finite(logits)
    is_active = _is_active(beams, length, alpha)
    failed = beams.failed | (is_active & ~tf.reduce_all(tf.reshape(is_finite, (-1, beam_size)), axis=1))
    log_probs = tf.nn.log_softmax(logits) + _logit_mask(logits, beams.position, length, min_length)  # (P·K, V)
    # no beam has more than 2K of the best 2K: (P·K, c)
    log_probs, token = tf.math.top_k(log_probs, min(2 * beam_size, logits.shape[-1]))
    scores = tf.reshape(beams.alive_log_probs, [-1, 1]) + log_probs
    per_beam = log_probs.shape[-1]
    scores, choice = tf.math.top_k(tf.reshape(scores, (-1, beam_size * per_beam)), 2 * beam_size)  # (P, 2K)
    beam, token = choice // per_beam, tf.gather(tf.reshape(token, (-1, beam_size * per_beam)), choice, batch_dims=1)
    ids = tf.gather(beams.alive_ids, beam, batch_dims=1)  # (P, 2K, L)
    ids += (token - PAD_ID)[..., None] * tf.one_hot(beams.position, length, dtype=tf.int32)
    ends = token == END_ID  # (P, 2K)

    penalty = length_penalty(beams.position + 1, alpha)
    end_scores = tf.where(ends, scores, 2 * NEG_INF)[:, :beam_size] / penalty  # (P, K)
    best = tf.argmax(end_scores, axis=1)  # (P,)
    finished_score = tf.gather(end_scores, best, batch_dims=1)  # (P,)
    finished_ids = tf.gather(ids, best, batch_dims=1)  # (P, L)
    is_better = (finished_score > beams.finished_score) & is_active
    finished_score = tf.where(is_better, finished_score, beams.finished_score)
    finished_ids = tf.where(is_better[:, None], finished_ids, beams.finished_ids)
    is_new = (ends & (scores > NEG_INF / 2))[:, :beam_size]
    num_finished = beams.num_finished + tf.math.count_nonzero(is_new, axis=1, dtype=tf.int32)  # (P,)

    alive_log_probs, kept = tf.math.top_k(tf.where(ends, 2 * NEG_INF, scores), beam_size)  # (P, K)
    alive_ids, last = tf.gather(ids, kept, batch_dims=1), tf.gather(token, kept, batch_dims=1)
    rows = tf.gather(beam, kept, batch_dims=1) + beam_size * tf.range(tf.shape(beam)[0])[:, None]
    return BeamState(
        position=beams.position + 1,
        alive_ids=alive_ids,
        alive_log_probs=alive_log_probs,
        finished_ids=finished_ids,
        finished_score=finished_score,
        num_finished=num_finished,
        failed=failed,
        last=tf.reshape(last, [-1]),
        cache=model.reorder_cache(cache, tf.reshape(rows, [-1])),
    )


def _replace_non_finite(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces rows with NaN or infinity by zeros, which can be searched: (logits [B, V], bool [B]: no such row)."""
    is_finite = tf.math.is_finite(tf.reduce_sum(logits, axis=1))  # one pass; a sum of finite logits does not overflow
    return tf.where(is_finite[:, None], logits, 0.0), is_finite


def _without_failures(failed: tf.Tensor, ids: tf.Tensor, log_probs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ends the captions of failed images, bool [P], at once: ids (P, L) and log-probabilities (P,)."""
    empty = END_ID * tf.one_hot(0, ids.shape[1], dtype=tf.int32)  # (L,); padding is 0
    return tf.where(failed[:, None], empty, ids), tf.where(failed, NEG_INF, log_probs)


def reserved_mask(vocabulary_size: int) -> tf.Tensor:
    """NEG_INF for tokens that no caption has, else 0: float32 [V]."""
    token = tf.range(vocabulary_size)
    return tf.where((token == PAD_ID) | (token == UNK_ID) | (token == START_ID), NEG_INF, 0.0)


def _logit_mask(logits: tf.Tensor, position: tf.Tensor, length: int, min_length: int) -> tf.Tensor:
    """NEG_INF for tokens that are not allowed after `position` others, else 0: float32 [V]."""
    token = tf.range(logits.shape[-1])
    is_too_early = (token == END_ID) & (position < min(min_length, length - 1))
    is_too_late = (token != END_ID) & (position == length - 1)
    return reserved_mask(logits.shape[-1]) + tf.where(is_too_early | is_too_late, NEG_INF, 0.0)


def _shape_invariants(state: tuple) -> Any:
    """Shapes that hold throughout the loop: the model's cache, the last field, grows; all else keeps its shape."""

    def shape(tensor: Any) -> tf.TensorShape:
        return tf.convert_to_tensor(tensor).shape

    def relax(tensor: tf.Tensor) -> tf.TensorShape:
        return tf.TensorShape([None if size == 0 else size for size in tensor.shape])

    return (*map(shape, state[:-1]), tf.nest.map_structure(relax, state[-1]))
