"""Random weights whose features tell images apart, for trying the pipeline out without a download."""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from components.shared import scenes
from components.shared.images import decoding

SEED = 0  # of the weights and of the scenes that calibrate the batch norm
CALIBRATION_SCENES = 16


def randomize(model: keras.Model, preprocess: Callable[[tf.Tensor], tf.Tensor], size: int) -> None:
    """Sets seeded random weights, and the batch-norm statistics that belong to them.

    With the statistics of a fresh model (mean 0, variance 1) activations fade from layer to layer until all images
    have the same features. The statistics are those of synthetic scenes, not of the run's images, so that an image's
    features do not depend on the others.

    Args:
      model: the backbone.
      preprocess: the backbone's scaling of values.
      size: side of its input in pixels.
    """
    rng = np.random.default_rng(SEED)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        if len(shape) >= 2:
            # He et al. 2015, https://arxiv.org/abs/1502.01852; a depthwise kernel sees one channel
            fan_in = math.prod(shape[:2] if "depthwise" in variable.path else shape[:-1])
            variable.assign(rng.normal(0.0, math.sqrt(2.0 / fan_in), shape).astype("float32"))
        elif "layer_scale" in variable.path:
            variable.assign(tf.ones(shape))  # ConvNeXt begins at 1e-6, at which its blocks do nothing
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # one pass in training mode then leaves exactly this batch's statistics
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # else the statistics would differ each time; features are computed without dropout
    encoded = [scenes.jpeg(SEED, index) for index in range(CALIBRATION_SCENES)]
    pixels = tf.stack([decoding.decode_and_resize(tf.constant(image), size) for image in encoded])
    # as a graph: run eagerly, oneDNN keeps 1.7 GB of scratch memory for InceptionV3
    tf.function(lambda batch: model(batch, training=True))(preprocess(pixels))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
