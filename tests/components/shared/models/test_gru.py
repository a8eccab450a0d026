import numpy as np
import tensorflow as tf

from components.shared.records import PAD_ID
from tests.components.shared.models import reference_numpy
from tests.components.shared.models.conformance import FEATURES, TOKENS, make_model, padded_logits, small_settings


def test_it_equals_the_reference():
    model = make_model(small_settings("gru"), scale=0.5)
    logits = padded_logits(model)
    attention = model.attention(tf.constant(TOKENS), model.encode(FEATURES)).numpy()
    for image, caption in [(0, 0), (0, 1), (1, 0)]:
        tokens = TOKENS[image, caption]
        tokens = tokens[tokens != PAD_ID]
        expected, weights = reference_numpy.gru(model, FEATURES[image].astype(np.float64), tokens)
        np.testing.assert_allclose(logits[image, caption, : len(tokens)], expected, atol=1e-5)
        np.testing.assert_allclose(attention[image, caption, : len(tokens)], weights, atol=1e-5)
