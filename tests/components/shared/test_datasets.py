import tensorflow as tf

from components.shared.datasets import without_autotuning


def test_the_elements_are_the_same_and_the_autotuner_is_off():
    dataset = tf.data.Dataset.range(5).map(lambda number: number + 1, tf.data.AUTOTUNE).prefetch(2)
    read = without_autotuning(dataset)
    assert read.options().autotune.enabled is False
    assert list(read.as_numpy_iterator()) == [1, 2, 3, 4, 5]
