"""Features are kept for as long as FEATURE_VERSION stays: code that changes them must raise it.

The tolerances cover processors (AVX2, AVX-512) and versions of TensorFlow (2.16 and 2.21 agree to the bit on one); the
smallest edits that were tried, bicubic resizing and an accurate inverse DCT, exceed them by far.
"""

import numpy as np
import pytest

from components.feature_extractor.identity import FEATURE_VERSION
from tests.components.feature_extractor import golden

REASON = "features have changed: raise FEATURE_VERSION, then run python -m tests.components.feature_extractor.golden"


@pytest.fixture(scope="module")
def expected() -> golden.Golden:
    return golden.load(FEATURE_VERSION)


@pytest.fixture(scope="module")
def actual() -> golden.Golden:
    return golden.compute()


def test_decoded_and_resized_pixels_are_those_of_the_version(actual, expected):
    assert (actual.pixels.dtype, actual.pixels.shape) == (expected.pixels.dtype, expected.pixels.shape), REASON
    np.testing.assert_allclose(actual.pixels, expected.pixels, rtol=0, atol=0.5, err_msg=REASON)


def test_features_are_those_of_the_version(actual, expected):
    assert (actual.features.dtype, actual.features.shape) == (expected.features.dtype, expected.features.shape), REASON
    for ours, theirs in zip(actual.features.astype(float), expected.features.astype(float), strict=True):
        assert np.linalg.norm(ours - theirs) <= 0.05 * np.linalg.norm(theirs), REASON


def test_records_are_encoded_as_those_of_the_version(actual, expected):
    np.testing.assert_array_equal(actual.record, expected.record, err_msg=REASON)


def test_the_golden_features_of_a_version_are_not_overwritten():
    with pytest.raises(SystemExit, match="raise FEATURE_VERSION"):
        golden.main()
