import pathlib
import shutil

import numpy as np
import pytest
from tfx.orchestration.portable import data_types

from components.feature_extractor.driver import Driver
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared.backbone_description import BackboneDescription
from components.shared.settings import to_property

RUNTIME = ("backbone", "weights", "store_dir")


@pytest.fixture
def weights(tmp_path) -> pathlib.Path:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"weights")
    return path


def fingerprint(weights: pathlib.Path, store_dir: pathlib.Path, image_size: int = 0) -> str:
    """The property that the driver sets, as TFX's launcher asks for it."""
    settings = to_property(FeatureExtractorSettings(image_size=image_size), FeatureExtractorSettings, RUNTIME)
    properties = {"settings": settings, "backbone": "MobileNet", "weights": str(weights), "store_dir": str(store_dir)}
    output = Driver(None).run(data_types.ExecutionInfo(exec_properties=properties))
    assert properties["fingerprint"] == output.exec_properties["fingerprint"].string_value
    return properties["fingerprint"]


def test_unchanged_weights_and_store_are_answered_from_the_cache(weights, tmp_path):
    assert fingerprint(weights, tmp_path / "store") == fingerprint(weights, tmp_path / "store")


def test_the_advice_about_missing_shards_works(weights, tmp_path):
    """See `Manifest.load`: run again, and if it fails again, delete the file `generation`."""
    before = fingerprint(weights, tmp_path / "store")
    [directory] = (tmp_path / "store").iterdir()
    store = FeatureStore(str(directory))
    store.add(["sha"], np.zeros((1, 4, 3), np.float16))
    BackboneDescription("MobileNet", "random", 32, "backbone-1", (2, 2), 3).write(str(directory))
    (directory / "backbone-1").mkdir()
    (directory / "backbone-1" / "saved_model.pb").touch()
    assert fingerprint(weights, tmp_path / "store") == before
    (directory / store.index()["sha"]).unlink()
    again = fingerprint(weights, tmp_path / "store")
    assert again != before  # the features are computed again
    (directory / "generation").unlink()
    assert fingerprint(weights, tmp_path / "store") not in (before, again)


def test_other_weights_sizes_and_stores_run_the_step_again(weights, tmp_path):
    store = tmp_path / "store"
    observed = [fingerprint(weights, store), fingerprint(weights, store, image_size=64)]
    observed.append(fingerprint(weights, tmp_path / "other"))
    weights.write_bytes(b"other weights")
    observed.append(fingerprint(weights, store))
    shutil.rmtree(store)
    observed.append(fingerprint(weights, store))
    assert len(set(observed)) == 5
