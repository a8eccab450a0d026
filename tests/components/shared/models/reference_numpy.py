"""The captioning models in NumPy and in double precision: each head by itself, no packing, no cache."""

import math

import numpy as np

from components.shared.models.gru import GRUCaptioner
from components.shared.models.transformer import CaptionTransformer


def affine(dense, x: np.ndarray) -> np.ndarray:
    kernel, bias = (np.array(weight, np.float64) for weight in (dense.kernel, dense.bias))
    return np.einsum("...c,cd->...d", x, kernel) + bias


def layer_norm(layer, x: np.ndarray) -> np.ndarray:
    gamma, beta = (np.array(weight, np.float64) for weight in (layer.gamma, layer.beta))
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * gamma + beta


def attention(num_heads: int, query: np.ndarray, key: np.ndarray, value: np.ndarray, causal: bool) -> tuple:
    """(T, D), (S, D), (S, D) -> (T, D) and the attention weights, the mean over heads (T, S)."""
    output, mean_weights = np.zeros_like(query), np.zeros((len(query), len(key)))
    for part in np.split(np.arange(query.shape[1]), num_heads):
        scores = np.einsum("td,sd->ts", query[:, part], key[:, part]) / math.sqrt(len(part))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = np.tril(weights) if causal else weights
        weights /= weights.sum(-1, keepdims=True)
        output[:, part] = np.einsum("ts,sd->td", weights, value[:, part])
        mean_weights += weights / num_heads
    return output, mean_weights


def self_attention(layer, x: np.ndarray, causal: bool) -> np.ndarray:
    output, _ = attention(layer.num_heads, *np.split(affine(layer.qkv_proj, x), 3, axis=-1), causal=causal)
    return affine(layer.out_proj, output)


def cross_attention(layer, x: np.ndarray, encoder_state: np.ndarray) -> tuple:
    key, value = np.split(affine(layer.kv_proj, encoder_state), 2, -1)
    output, weights = attention(layer.num_heads, affine(layer.q_proj, x), key, value, causal=False)
    return affine(layer.out_proj, output), weights


def feed_forward(layer, x: np.ndarray) -> np.ndarray:
    return affine(layer.fc2, np.maximum(affine(layer.fc1, x), 0))


def sublayer(residual, x: np.ndarray, function) -> np.ndarray:
    if residual.norm_first:
        return x + function(layer_norm(residual.norm, x))
    return layer_norm(residual.norm, x + function(x))


def transformer_encode(model: CaptionTransformer, features: np.ndarray) -> np.ndarray:
    """One image: (N, C) -> (N, D)."""
    x = affine(model.feature_proj, features) + model.image_positions
    for layer in model.encoder:
        x = sublayer(
            layer.self_attention_residual, x, lambda y, layer=layer: self_attention(layer.self_attention, y, False)
        )
        x = sublayer(layer.feed_forward_residual, x, lambda y, layer=layer: feed_forward(layer.feed_forward, y))
    return layer_norm(model.encoder_norm, x) if model.settings.norm_first else x


def transformer(model: CaptionTransformer, features: np.ndarray, tokens: np.ndarray) -> tuple:
    """One image (N, C) and caption (T,) without padding -> logits (T, V), the last layer's attention (T, N)."""
    encoder_state, weights = transformer_encode(model, features), None
    embeddings = np.array(model.token_embedding.embeddings, np.float64)
    x = embeddings[tokens] * math.sqrt(model.settings.d_model) + model.token_positions[: len(tokens)]

    def attend_to_image(layer, y):
        nonlocal weights
        output, weights = cross_attention(layer.cross_attention, y, encoder_state)
        return output

    for layer in model.decoder:
        x = sublayer(
            layer.self_attention_residual, x, lambda y, layer=layer: self_attention(layer.self_attention, y, True)
        )
        x = sublayer(layer.cross_attention_residual, x, lambda y, layer=layer: attend_to_image(layer, y))
        x = sublayer(layer.feed_forward_residual, x, lambda y, layer=layer: feed_forward(layer.feed_forward, y))
    x = layer_norm(model.decoder_norm, x) if model.settings.norm_first else x
    if model.output_proj is None:
        return np.einsum("td,vd->tv", x, embeddings), weights
    return affine(model.output_proj, x), weights


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(model: GRUCaptioner, features: np.ndarray, tokens: np.ndarray) -> tuple:
    """One image (N, C) and one caption (T,) without padding -> logits (T, V) and attention weights (T, N)."""
    encoder_state = np.maximum(affine(model.feature_proj, features), 0)  # (N, D)
    state = np.tanh(affine(model.init_state, encoder_state.mean(0)))  # (U,)
    embeddings = np.array(model.token_embedding.embeddings, np.float64)
    logits, all_weights = [], []
    for token in tokens:
        *state_gates, query = np.split(affine(model.state_gates_and_query, state), 4)
        hidden = np.tanh(affine(model.key_proj, encoder_state) + query)  # (N, U)
        scores = np.einsum("nu,u->n", hidden, np.array(model.score_vector, np.float64))
        weights = np.exp(scores) / np.exp(scores).sum()  # (N,)
        input_gates = np.split(affine(model.input_gates, embeddings[token]), 3)
        context = np.einsum("n,nd->d", weights, encoder_state)
        context_gates = np.split(affine(model.context_gates, context), 3)
        update, reset = (sigmoid(input_gates[gate] + context_gates[gate] + state_gates[gate]) for gate in range(2))
        candidate = np.tanh(input_gates[2] + context_gates[2] + reset * state_gates[2])
        state = update * state + (1 - update) * candidate
        logits.append(affine(model.output_proj, state))
        all_weights.append(weights)
    return np.stack(logits), np.stack(all_weights)
