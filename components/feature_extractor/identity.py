"""What a feature depends on, as a name: features under one fingerprint are interchangeable."""

import hashlib
import json

from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.settings import FeatureExtractorSettings

# Raise this when a code change changes an image's features: decoding, conversion to what TensorFlow decodes, resizing,
# scaling, the network or its random weights, or the encoding of a record. Nothing else belongs to the identity: an
# edited comment, a rename or a new reader computes nothing again. A golden test holds features of this version, and
# fails when they change.
FEATURE_VERSION = 1


def fingerprint(settings: FeatureExtractorSettings) -> str:
    """Names everything that determines a feature of an image.

    Args:
      settings: which backbone; a weights file counts by its content.

    Returns:
      32 hexadecimal digits.

    Raises:
      ValueError: there is no such backbone.
      FileNotFoundError: there is no such weights file.
    """
    source = source_of(settings)
    size, weights = source.input_size(settings), source.weights_identity(settings)
    parts = json.dumps([FEATURE_VERSION, source.name, settings.backbone, size, weights])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
