import contextlib

import keras
import numpy as np
import tensorflow as tf

from components.trainer.layers import Dense, kernels_cast_once

X = tf.constant(np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))


def casts_in_a_loop(model: keras.Model, around) -> int:
    @tf.function
    def looped(x):
        with around:
            return tf.while_loop(lambda turn, x: turn < 3, lambda turn, x: (turn + 1, model(x)), (0, x))[1]

    functions = looped.get_concrete_function(X).graph.as_graph_def().library.function
    [body] = [function for function in functions if "while_body" in function.signature.name]
    return sum(node.op == "Cast" for node in body.node_def)


def test_kernels_are_cast_once():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([Dense(5, "bfloat16"), Dense(5, "float32")])
    expected = model(X)
    with kernels_cast_once(model):
        assert np.array_equal(model(X), expected)
    once, often = (casts_in_a_loop(model, around) for around in (kernels_cast_once(model), contextlib.nullcontext()))
    assert often == once + 1
