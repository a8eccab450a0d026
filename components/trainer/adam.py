"""Keras's Adam with TensorFlow's fused kernel: the one file that overrides private methods of Keras's optimizers.

Seen with Keras 3.12 and 3.15; the tests compare it with Keras's own Adam, step by step.
"""

from typing import Any

import keras
import tensorflow as tf


def decays(variable: keras.Variable) -> bool:
    """Whether a weight decays: a matrix, unless its rows are embeddings, of which a step changes only those it uses."""
    return len(variable.shape) >= 2 and "embedding" not in variable.name


class Adam(keras.optimizers.Adam):
    """Adam with a fused update, clipped alike on one device and on several; only matrices decay, and no embeddings.

    Keras makes a dozen passes over the weights, the kernel one: 50 ms per step instead of 150 with 45 million weights.
    """

    @property
    def last_learning_rate(self) -> tf.Tensor:
        """The learning rate of the last step; `learning_rate` is the next step's."""
        return self._learning_rate(self.iterations - 1)

    def build(self, variables):
        """Creates the moments, and excludes vectors and embeddings from the weight decay."""
        if self.weight_decay:
            self.exclude_from_weight_decay(var_list=[variable for variable in variables if not decays(variable)])
        super().build(variables)

    def _clip_gradients(self, grads):
        # Keras would clip each replica's part before the sum. And the slices of an embedding's gradient may hold a row
        # in several parts, whose norms are not the row's.
        dense = [tf.convert_to_tensor(gradient) for gradient in grads]
        context: Any = tf.distribute.get_replica_context()
        return super()._clip_gradients(context.all_reduce(tf.distribute.ReduceOp.SUM, dense))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # summed before they were clipped

    def update_step(self, gradient, variable, learning_rate):
        slot = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[slot].value.handle,
            v=self._velocities[slot].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
