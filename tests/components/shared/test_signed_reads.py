"""Reading many objects by signed URLs."""

import botocore.session
import fsspec
import pytest
import tenacity

from components.shared import object_store, signed_reads, storage

NAMES = ("a.jpg", "b c.jpg", "ü.jpg", "d+e&f=g.jpg", "h%20i#j?.jpg", "k[1]*.jpg", "l~m.jpg")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch) -> None:
    """What is refused is remembered for this test alone."""
    monkeypatch.setattr(signed_reads, "_refused", set())


@pytest.fixture
def uris(bucket) -> list[str]:
    for name in NAMES:
        storage.write_text(f"{bucket}/images/{name}", f"content of {name}")
    return [f"{bucket}/images/{name}" for name in NAMES]


def test_objects_are_read_in_order_by_one_request_each(uris, relayed):
    assert [*object_store.read_many(uris)] == [f"content of {name}".encode() for name in NAMES]
    assert sorted(relayed.requests) == sorted(("GET", f"images/{name}") for name in NAMES)


def test_beginnings_are_read(uris):
    assert [*object_store.read_many(uris, 9)] == [b"content o"] * len(NAMES)


def test_more_than_are_read_at_a_time_and_none(uris):
    assert [*object_store.read_many(uris * 7)] == [f"content of {name}".encode() for name in NAMES] * 7
    assert [*object_store.read_many([])] == []


def test_a_missing_object_is_its_error(uris, bucket):
    before, missing, after = object_store.read_many([uris[0], f"{bucket}/gone", uris[1]])
    assert (before, after) == (b"content of a.jpg", b"content of b c.jpg")
    assert isinstance(missing, FileNotFoundError) and f"{bucket}/gone" in str(missing)


def test_what_is_refused_is_left_to_the_client(uris, relayed, monkeypatch):
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)
    signed = []

    def refuse_signed(method, path):
        signed.append(len(relayed.requests))
        return 400 if len(signed) <= len(NAMES) else None

    relayed.fault = refuse_signed
    for _ in range(2):
        assert [*object_store.read_many(uris)] == [f"content of {name}".encode() for name in NAMES]
    # the first time twice, the second time by the client alone
    assert len(relayed.requests) == 3 * len(NAMES)


def test_without_credentials_the_client_says_so(uris, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(object_store.StorageAccessError, match="check the credentials in the environment"):
        next(object_store.read_many(uris))


def test_a_session_token_is_part_of_the_signature(uris, monkeypatch, relayed):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-a-role")
    fsspec.filesystem("s3").clear_instance_cache()
    urls = []
    sign = signed_reads._sign
    monkeypatch.setattr(signed_reads, "_sign", lambda auth, url: urls.append(sign(auth, url)) or urls[-1])
    assert next(object_store.read_many(uris)) == b"content of a.jpg"
    assert "X-Amz-Security-Token=of-a-role" in urls[0]


def test_the_signature_is_the_clients_own(monkeypatch):
    """Amazon's client signs the same URL: a change of the private part of its API would show here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    session = botocore.session.Session()
    config = botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client = session.create_client("s3", "eu-west-1", config=config)

    def presign() -> str:
        return client.generate_presigned_url(
            "get_object", {"Bucket": "b", "Key": "a b.jpg"}, signed_reads.VALID_SECONDS
        )

    credentials = session.get_credentials().get_frozen_credentials()
    auth = signed_reads.S3SigV4QueryAuth(credentials, "s3", "eu-west-1", signed_reads.VALID_SECONDS)
    before = presign()
    signed = signed_reads._sign(auth, before.partition("?")[0])
    assert signed in (before, presign())  # a second may end meanwhile
