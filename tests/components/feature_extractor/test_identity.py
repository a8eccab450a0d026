import pytest

from components.feature_extractor import identity
from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.identity import fingerprint
from components.feature_extractor.settings import FeatureExtractorSettings as Settings

TINY = Settings("MobileNet", "random", 32)


# features that exist are found by these names: a name that changes without FEATURE_VERSION computes all of them again
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (TINY, "7d07fe5e83984c18d3c90cfb2afcdf4f"),
        (Settings("InceptionV3", "imagenet"), "96a9dd5df276091350ca8bcbd09d4d20"),
    ],
)
def test_the_fingerprint_is_the_same_in_every_version_of_the_code(settings, name):
    assert identity.FEATURE_VERSION == 1
    assert fingerprint(settings) == name


def test_the_fingerprint_names_everything_that_determines_a_feature(tmp_path, monkeypatch):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"weights")

    def fingerprints():
        variants = [
            TINY,
            Settings("MobileNet", "random", 64),
            Settings("MobileNetV2", "random", 32),
            Settings("MobileNet", "imagenet", 32),
            Settings("MobileNet", str(path), 32),
        ]
        return [fingerprint(settings) for settings in variants]

    before = fingerprints()
    assert len(set(before)) == len(before)
    assert fingerprints() == before
    path.write_bytes(b"other weights")
    assert fingerprints()[:4] == before[:4]
    assert fingerprints()[4] != before[4]
    monkeypatch.setattr(identity, "FEATURE_VERSION", 2)
    assert not set(fingerprints()) & set(before)


def test_the_fingerprint_leaves_out_how_features_are_computed_and_stored():
    assert fingerprint(Settings("MobileNet", "random", 32, batch_size=2, store_dir="/elsewhere")) == fingerprint(TINY)
    default = Settings("MobileNet", "random")
    size = source_of(default).input_size(default)
    assert fingerprint(Settings("MobileNet", "random", size)) == fingerprint(default)
