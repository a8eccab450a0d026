"""The transformer once more, in NumPy and in double precision: each head by itself, no packing, no cache."""

import math

import numpy as np

from components.trainer.transformer import CaptionTransformer


def affine(dense, x: np.ndarray) -> np.ndarray:
    kernel, bias = (np.array(weight, np.float64) for weight in (dense.kernel, dense.bias))
    return np.einsum("...c,cd->...d", x, kernel) + bias


def norm(layer, x: np.ndarray) -> np.ndarray:
    gamma, beta = (np.array(weight, np.float64) for weight in (layer.gamma, layer.beta))
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * gamma + beta


def attention(heads: int, query: np.ndarray, key: np.ndarray, value: np.ndarray, causal: bool) -> tuple:
    """(T, D), (S, D), (S, D) -> (T, D) and the weights, the mean over heads (T, S)."""
    mixed, looked = np.zeros_like(query), np.zeros((len(query), len(key)))
    for part in np.split(np.arange(query.shape[1]), heads):
        scores = np.einsum("td,sd->ts", query[:, part], key[:, part]) / math.sqrt(len(part))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = np.tril(weights) if causal else weights
        weights /= weights.sum(-1, keepdims=True)
        mixed[:, part] = np.einsum("ts,sd->td", weights, value[:, part])
        looked += weights / heads
    return mixed, looked


def self_attention(layer, x: np.ndarray, causal: bool) -> np.ndarray:
    mixed, _ = attention(layer.heads, *np.split(affine(layer.project, x), 3, axis=-1), causal=causal)
    return affine(layer.out, mixed)


def cross_attention(layer, x: np.ndarray, memory: np.ndarray) -> tuple:
    mixed, looked = attention(
        layer.heads, affine(layer.query, x), *np.split(affine(layer.memory, memory), 2, -1), False
    )
    return affine(layer.out, mixed), looked


def feed_forward(layer, x: np.ndarray) -> np.ndarray:
    return affine(layer.narrow, np.maximum(affine(layer.widen, x), 0))


def sublayer(residual, x: np.ndarray, part) -> np.ndarray:
    return x + part(norm(residual.norm, x)) if residual.pre else norm(residual.norm, x + part(x))


def memory_of(model: CaptionTransformer, features: np.ndarray) -> np.ndarray:
    """One picture: (N, C) -> (N, D)."""
    x = affine(model.embed_features, features) + model.picture_positions
    for layer in model.encoder:
        one, two = layer.residuals
        x = sublayer(one, x, lambda y, layer=layer: self_attention(layer.attention, y, causal=False))
        x = sublayer(two, x, lambda y, layer=layer: feed_forward(layer.feed_forward, y))
    return norm(model.encoder_norm, x) if model.settings.norm == "pre" else x


def caption(model: CaptionTransformer, features: np.ndarray, tokens: np.ndarray) -> tuple:
    """One picture (N, C) and one caption (T,) without padding -> logits (T, V), and the last layer's weights (T, N)."""
    memory, looked = memory_of(model, features), None
    embeddings = np.array(model.embed_words.embeddings, np.float64)
    x = embeddings[tokens] * math.sqrt(model.settings.d_model) + model.word_positions[: len(tokens)]

    def look(layer, y):
        nonlocal looked
        mixed, looked = cross_attention(layer.cross_attention, y, memory)
        return mixed

    for layer in model.decoder:
        one, two, three = layer.residuals
        x = sublayer(one, x, lambda y, layer=layer: self_attention(layer.self_attention, y, causal=True))
        x = sublayer(two, x, lambda y, layer=layer: look(layer, y))
        x = sublayer(three, x, lambda y, layer=layer: feed_forward(layer.feed_forward, y))
    x = norm(model.decoder_norm, x) if model.settings.norm == "pre" else x
    return (np.einsum("td,vd->tv", x, embeddings) if model.to_logits is None else affine(model.to_logits, x)), looked
