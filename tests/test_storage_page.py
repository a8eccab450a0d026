"""What docs/storage.md tells a store: the rights of a run are sufficient and necessary, the rule is understood."""

import json

import boto3
import fsspec
import pytest

from benchmarks import s3_store
from components.shared import storage
from components.shared.object_store import StorageAccessError
from tests.documented_commands import code_blocks
from tests.factories import ROOT

POLICY, LIFECYCLE = (
    json.loads(text) for language, text in code_blocks(ROOT / "docs" / "storage.md") if language == "json"
)
BUCKET, ROOT_URI, DATA = "BUCKET", "s3://BUCKET/captions", "s3://BUCKET/data"
LARGE = 60 * 2**20  # bytes; such a file is uploaded in parts


@pytest.fixture(scope="module")
def keys():
    """The environment of a user who has the rights of the page, and no others."""
    # moto checks rights after a number of requests: those that are made here
    with s3_store.moto_server(INITIAL_NO_AUTH_ACTION_COUNT="5") as environment:
        store = s3_store.connect(environment)
        store.create_bucket(Bucket=BUCKET)
        store.Object(BUCKET, "data/a.jpg").put(Body=b"image")
        iam = boto3.client(
            "iam",
            endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        iam.create_user(UserName="captions")
        iam.put_user_policy(UserName="captions", PolicyName="captions", PolicyDocument=json.dumps(POLICY))
        key = iam.create_access_key(UserName="captions")["AccessKey"]
        yield environment | {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@pytest.fixture
def as_user(keys, monkeypatch):
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    yield
    fsspec.filesystem("s3").clear_instance_cache()


def test_the_rights_suffice(as_user, tmp_path):
    assert storage.list_names(DATA) == ["a.jpg"] and storage.read_bytes(f"{DATA}/a.jpg") == b"image"
    assert storage.stat(f"{ROOT_URI}/summary.json") is None
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{ROOT_URI}/summary.json")
    (tmp_path / "large").write_bytes(bytes(LARGE))
    storage.copy(str(tmp_path / "large"), f"{ROOT_URI}/large")
    storage.write_text(f"{ROOT_URI}/runs/a/log.txt", "log")
    assert storage.size(f"{ROOT_URI}/large") == LARGE and len(storage.list_entries(ROOT_URI)) == 2
    storage.remove(ROOT_URI)
    assert storage.list_names(ROOT_URI) == []


@pytest.mark.parametrize("change", [lambda uri: storage.write_text(uri, ""), storage.remove], ids=["write", "delete"])
def test_the_data_can_not_be_changed(as_user, change):
    with pytest.raises(StorageAccessError):
        change(f"{DATA}/a.jpg")
    assert storage.read_bytes(f"{DATA}/a.jpg") == b"image"


def test_a_store_understands_the_rule_for_incomplete_uploads(bucket, s3):
    name = bucket.removeprefix("s3://").partition("/")[0]
    configuration = s3_store.connect(s3).BucketLifecycleConfiguration(name)
    configuration.put(LifecycleConfiguration=LIFECYCLE)
    [rule] = configuration.rules
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
