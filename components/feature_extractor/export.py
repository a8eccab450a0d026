"""A backbone as one SavedModel: decoding, resizing, scaling, the network with its batch norm folded, float16."""

import functools

import keras
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer

from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.images import decoding

MAX_INLINE_BYTES = 256  # constants up to this size stay in the graph: shapes, axes, scales


def export(settings: FeatureExtractorSettings, directory: str) -> tuple[tuple[int, int], int]:
    """Saves a backbone with everything that comes before it.

    Args:
      settings: which backbone.
      directory: directory for the SavedModel, whose functions `components.shared.features.Backbone` describes.

    Returns:
      ((rows, columns), channels) of the feature map.

    Raises:
      ValueError: as `BackboneSource.build`.
    """
    source = source_of(settings)
    model, preprocess, size = source.build(settings), source.preprocess(settings), source.input_size(settings)
    _make_depthwise(model)
    _, rows, columns, channels = model.output_shape

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.float32, "pixels")])
    def network(pixels: tf.Tensor) -> tf.Tensor:
        maps = model(preprocess(pixels), training=False)  # (B, rows, columns, channels)
        return tf.cast(tf.reshape(maps, (-1, rows * columns, channels)), tf.float16)

    tf.saved_model.save(_Folded(network, size), directory)
    return (rows, columns), channels


def _make_depthwise(model: keras.Model) -> None:
    """Computes convolutions with one group per channel as depthwise ones, with the same results.

    Keras compiles them with XLA, in functions that can't be folded and are four to eight times slower on a CPU.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _make_depthwise(layer)
        elif isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.input.shape[-1]:
            layer.convolution_op = functools.partial(_depthwise, layer)


def _depthwise(layer: keras.layers.Conv2D, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    kernel = tf.reshape(kernel, (*layer.kernel_size, layer.groups, -1))
    strides, padding = (1, *layer.strides, 1), layer.padding.upper()
    return tf.nn.depthwise_conv2d(inputs, kernel, strides, padding, dilations=layer.dilation_rate)


class _Folded(tf.Module):
    """The network after constant folding, its weights in variables."""

    def __init__(self, network: tf.types.experimental.PolymorphicFunction, size: int):
        super().__init__()
        graph, source, result, constants = _fold(network)
        # constants of 90 MB are copied by each pass over the graph: the first batch took six seconds
        self._weights = [tf.Variable(value, trainable=False) for value in constants.values()]

        def from_pixels(pixels: tf.Tensor) -> tf.Tensor:
            values = {f"{name}:0": weight.read_value() for name, weight in zip(constants, self._weights, strict=True)}
            [features] = tf.import_graph_def(graph, {source: pixels, **values}, [result], name="")
            return features

        pixels_spec = tf.TensorSpec([None, size, size, 3], tf.float32, "pixels")
        self.from_pixels = tf.function(from_pixels, input_signature=[pixels_spec])

        def features(encoded: tf.Tensor) -> tf.Tensor:
            pixels = tf.map_fn(
                lambda image: decoding.decode_and_resize(image, size),
                encoded,
                fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            )
            return self.from_pixels(pixels)

        self.features = tf.function(features, input_signature=[tf.TensorSpec([None], tf.string, "encoded")])


def _fold(network: tf.types.experimental.PolymorphicFunction):
    """Folds constants: the batch norm goes into the kernels of the convolutions before it.

    Returns:
      the graph without its larger constants, the names of its input and its output, and the constants by name.
    """
    frozen = convert_variables_to_constants_v2(network.get_concrete_function())
    [source], [result] = frozen.inputs, frozen.outputs
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=frozen.graph.as_graph_def(), graph=frozen.graph)
    fetches = meta_graph_pb2.CollectionDef()
    fetches.node_list.value.extend([source.name, result.name])
    meta_graph.collection_def["train_op"].CopyFrom(fetches)  # where Grappler looks for the nodes to keep
    config = config_pb2.ConfigProto()
    # no other pass: they add operations that other versions of TensorFlow may not have
    config.graph_options.rewrite_options.optimizers.extend(["constfold", "dependency"])
    graph = tf_optimizer.OptimizeGraph(config, meta_graph)
    values = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    constants = {
        name: tf.make_ndarray(value) for name, value in values.items() if len(value.tensor_content) > MAX_INLINE_BYTES
    }
    kept = [node for node in graph.node if node.name not in constants]
    del graph.node[:]
    graph.node.extend(kept)
    return graph, source.name, result.name, constants
