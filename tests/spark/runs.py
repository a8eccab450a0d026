"""What the tests on Spark have in common: the configs of their runs, and the features that runs have computed."""

import numpy as np
import tensorflow as tf

from components.shared import node_cache
from components.shared.features import Manifest
from spark import cluster
from tests.factories import ROOT

DEBUG = ROOT / "pipeline" / "configs" / "debug.yaml"
OVERLAY = ROOT / "pipeline" / "configs" / "overlays" / "spark.yaml"
WORKERS = {f"worker-{number}" for number in range(cluster.WORKERS)}


def features_in(manifest: Manifest) -> dict[str, np.ndarray]:
    """sha256 -> feature, of a manifest's images."""
    directory = node_cache.tree(manifest.directory)
    features = {}
    for shard in manifest.shards:
        for sha256, feature in tf.data.TFRecordDataset(f"{directory}/{shard}").map(manifest.parse):
            features[sha256.numpy().decode()] = feature.numpy()
    return features


def assert_equal(features: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Two computations of the same images have the same bits."""
    assert features.keys() == expected.keys()
    for sha256, feature in features.items():
        np.testing.assert_array_equal(feature, expected[sha256])
