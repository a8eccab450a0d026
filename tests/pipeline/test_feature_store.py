import io
import os

import numpy as np
import pytest
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from tfx.orchestration import metadata

from components.feature_extractor.store import FeatureStore
from pipeline import feature_store

DAY = 24 * 3600


@pytest.fixture
def store(tmp_path):
    """Two fingerprints: one with an old and a young shard, one with an old shard."""
    for name, backbone in (("print-a", "InceptionV3"), ("print-b", "MobileNet")):
        directory = tmp_path / "features" / name
        directory.mkdir(parents=True)
        (directory / "backbone.json").write_text(f'{{"name": "{backbone}", "size": 32, "weights": "random"}}')
    one, other = FeatureStore(str(tmp_path / "features/print-a")), FeatureStore(str(tmp_path / "features/print-b"))
    feature = np.zeros((1, 4, 3), np.float16)
    for features, sha256 in ((one, "old"), (one, "young"), (other, "alone")):
        features.add([sha256], feature)
        path = os.path.join(features.directory, features.index()[sha256])
        if sha256 != "young":
            os.utime(path, (1, 1))
    return str(tmp_path / "features")


def found(store, needed=()):
    return list(feature_store.holdings(store, needed, DAY))


def test_what_no_run_needs_is_told_from_what_is_young_or_needed(store):
    [one, other] = found(store)
    assert [shard.sha256 for shard in one.needed] == [{"young"}]
    assert [shard.sha256 for shard in one.unneeded] == [{"old"}]
    assert other.backbone == "MobileNet 32 px, random"
    path = os.path.join(other.store.directory, other.unneeded[0].file)
    [_, other] = found(store, {path})
    assert [shard.sha256 for shard in other.needed] == [{"alone"}]
    assert not other.unneeded


def test_dropping_keeps_what_is_needed_and_renews_the_identity(store):
    before = found(store)
    identities = [holding.store.identity() for holding in before]
    freed = feature_store.drop(before)
    assert freed == sum(shard.bytes for holding in before for shard in holding.unneeded) > 0
    after = found(store)
    assert [set(holding.store.index()) for holding in after] == [{"young"}, set()]
    assert not {holding.store.identity() for holding in after} & set(identities)
    assert feature_store.drop(after) == 0


def test_the_table_counts_pictures_and_bytes(store):
    stream = io.StringIO()
    Console(file=stream, width=160).print(feature_store.table(found(store), 10))
    [_, one, other] = stream.getvalue().splitlines()
    assert one.split()[:6] == ["InceptionV3", "32", "px,", "random", "2", "2"]
    assert "1 pictures" in one
    assert other.split()[-1] == "print-b"


def test_a_root_where_nothing_has_run_is_said(store, tmp_path):
    with pytest.raises(ValueError, match=f"nothing has run in {tmp_path} yet"):
        feature_store.find(store, [str(tmp_path)], 10)


def test_a_database_without_runs_needs_nothing(store, tmp_path):
    fake = metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig())
    with metadata.Metadata(fake) as handle:
        assert feature_store.needed_by(handle, 10) == set()
