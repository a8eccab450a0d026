import json

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.shared import object_store, storage
from components.shared.contents import FILES, are_equal, damaged_file, describe, digest, find_damage

LARGE = bytes(range(256)) * 64


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(LARGE)
    (tmp_path / "model" / "variables" / "index").write_bytes(b"small")
    (tmp_path / "model" / "empty").touch()
    return tmp_path / "model"


def damage(path, kind: str) -> None:
    content = {"empty": b"", "cut": path.read_bytes()[:-1], "zeros": bytes(path.stat().st_size)}[kind]
    path.write_bytes(content)


def test_a_description_has_the_size_of_each_file(directory):
    sizes = {name: size for name, (size, _) in json.loads(describe(str(directory))).items()}
    assert sizes == {"empty": 0, "saved_model.pb": len(LARGE), "variables/index": 5}


def test_what_did_not_change_is_intact(directory):
    description = describe(str(directory))
    assert find_damage(str(directory), description) is None
    (directory / "added").touch()
    assert find_damage(str(directory), description) is None


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/index"])
@pytest.mark.parametrize("kind", ["empty", "cut", "zeros"])
def test_a_damaged_file_is_found(directory, name, kind):
    description = describe(str(directory))
    damage(directory / name, kind)
    assert find_damage(str(directory), description) == str(directory / name)


def test_a_missing_file_is_found_and_a_missing_directory_is_no_damage(directory):
    description = describe(str(directory))
    (directory / "empty").unlink()
    assert find_damage(str(directory), description) == str(directory / "empty")
    directory.rename(directory.with_name("moved"))
    assert find_damage(str(directory), description) is None


def test_of_an_artifact_of_an_earlier_version_nothing_is_known(directory):
    artifact = metadata_store_pb2.Artifact(uri=str(directory))
    assert damaged_file(artifact) is None and FILES not in artifact.custom_properties
    artifact.custom_properties[FILES].string_value = describe(str(directory))
    assert damaged_file(artifact) is None
    damage(directory / "saved_model.pb", "zeros")
    assert damaged_file(artifact) == str(directory / "saved_model.pb")


@pytest.mark.parametrize("change", [None, "content", "size", "name", "more", "less"])
def test_directories_are_equal_if_their_files_are(directory, tmp_path, change):
    other = tmp_path / "other"
    (other / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/index", "empty"):
        (other / name).write_bytes((directory / name).read_bytes())
    middle = other / "saved_model.pb"
    if change == "content":  # neither the size nor the ends tell
        middle.write_bytes(LARGE[:8000] + b"x" + LARGE[8001:])
    elif change == "size":
        middle.write_bytes(LARGE + b"x")
    elif change == "name":
        middle.rename(other / "saved_model")
    elif change == "more":
        (other / "more").touch()
    elif change == "less":
        (other / "empty").unlink()
    assert are_equal(str(directory), str(other)) is (change is None)
    assert (digest(str(directory)) == digest(str(other))) is (change is None)


def test_a_missing_directory_equals_none(tmp_path):
    (tmp_path / "a").mkdir()
    assert not are_equal(str(tmp_path / "a"), str(tmp_path / "b"))
    assert are_equal(str(tmp_path / "a"), str(tmp_path / "a"))


def test_damage_in_a_bucket_is_found_by_one_listing(bucket, monkeypatch):
    for name in ("graph", "variables/data"):
        storage.write_text(f"{bucket}/model/{name}", name)
    description = describe(f"{bucket}/model")
    storage.write_text(f"{bucket}/model/added", "later")
    storage.write_text(f"{bucket}/copy/graph", "graph")
    monkeypatch.delattr(object_store, "open_for_reading")
    assert find_damage(f"{bucket}/model", description) is None
    storage.write_text(f"{bucket}/model/variables/data", "variables/DATA")
    assert find_damage(f"{bucket}/model", description) == f"{bucket}/model/variables/data"
    storage.remove(f"{bucket}/model/variables")
    assert find_damage(f"{bucket}/model", description) == f"{bucket}/model/variables/data"
    storage.remove(f"{bucket}/model")
    assert find_damage(f"{bucket}/model", description) is None


def test_directories_in_a_bucket_are_equal_if_their_objects_are(bucket):
    for directory in ("one", "two"):
        storage.write_text(f"{bucket}/{directory}/graph", "graph")
    assert are_equal(f"{bucket}/one", f"{bucket}/two")
    storage.write_text(f"{bucket}/two/graph", "GRAPH")
    assert not are_equal(f"{bucket}/one", f"{bucket}/two")
    assert not are_equal(f"{bucket}/one", f"{bucket}/nothing")
