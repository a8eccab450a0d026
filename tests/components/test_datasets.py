import tensorflow as tf

from components.datasets import without_autotuning


def test_what_is_read_is_the_same_and_no_iterator_waits_for_the_autotuner():
    dataset = tf.data.Dataset.range(5).map(lambda number: number + 1, tf.data.AUTOTUNE).prefetch(2)
    read = without_autotuning(dataset)
    assert read.options().autotune.enabled is False
    assert list(read.as_numpy_iterator()) == [1, 2, 3, 4, 5]
