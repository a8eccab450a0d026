import pytest

from components.shared import storage
from pipeline import root_owner
from pipeline.paths import Paths
from pipeline.root_owner import RootOwnerError
from tests.fake_mlmd import FakeMlmd


def test_a_root_in_a_bucket_belongs_to_one_database(bucket):
    own, other, paths = FakeMlmd().store, FakeMlmd().store, Paths(f"{bucket}/root")
    for _ in range(2):
        root_owner.claim(own, paths)
    with pytest.raises(RootOwnerError, match=rf"root: {bucket}/root belongs to another ML Metadata"):
        root_owner.claim(other, paths)
    root_owner.claim(other, Paths(f"{bucket}/other"))


def test_a_bucket_that_was_emptied_stays_with_its_database(bucket):
    own, paths = FakeMlmd().store, Paths(f"{bucket}/root")
    root_owner.claim(own, paths)
    before = storage.read_json(paths.owner)
    storage.remove(bucket + "/root")
    root_owner.claim(own, paths)
    assert storage.read_json(paths.owner) == before


def test_a_root_on_a_disk_has_its_own_database(tmp_path):
    root_owner.claim(FakeMlmd().store, Paths(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
