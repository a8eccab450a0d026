"""A real S3 server for tests and benchmarks: moto's, in a process of its own, or the one of the environment."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import boto3

REAL = "S3_TESTS"  # environment variable, of `make test-s3`: if set, the store of the environment is used, not moto's
BUCKET = "S3_TEST_BUCKET"  # environment variable: a bucket in which tests may write, instead of new ones
NEEDS = (
    "make test-s3 needs a store: AWS_ENDPOINT_URL_S3, or S3_TEST_BUCKET for a bucket of Amazon's, and credentials "
    "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or any other of the provider's chain); without S3_TEST_BUCKET the "
    "tests create and delete buckets"
)
KEY, SECRET = "captions", f"secret-{uuid.uuid4().hex}"
START_SECONDS = 60


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Yields the environment that leads clients to a server, which is started unless the environment names one."""
    if os.environ.get(REAL):
        yield environment_of(os.environ)
        return
    with moto_server() as environment:
        yield environment


def is_missing(environment: Mapping[str, str]) -> bool:
    """Whether the tests are to use the store of an environment that names none."""
    return bool(environment.get(REAL)) and not names_store(environment)


def names_store(environment: Mapping[str, str]) -> bool:
    """Whether an environment names a store."""
    return bool(environment.get("AWS_ENDPOINT_URL_S3") or environment.get(BUCKET))


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead to the store of an environment, the endpoint among them."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    given = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    return {"AWS_ENDPOINT_URL_S3": f"https://s3.{region}.amazonaws.com", "AWS_DEFAULT_REGION": region, **given}


@contextlib.contextmanager
def moto_server(**variables: str) -> Iterator[dict[str, str]]:
    """Starts moto's server, which keeps everything in memory; yields the environment that leads clients to it.

    Args:
      **variables: environment variables of the server, moto's options.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(command, stdout=null, stderr=null, env={**os.environ, **variables})
    try:
        _wait(port, process)
        yield {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def new_bucket(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the URI of an empty bucket, or of an empty prefix of S3_TEST_BUCKET; what is in it is deleted at the end.

    Args:
      environment: the variables that lead to the store.
    """
    name = f"test-{uuid.uuid4().hex}"
    given = os.environ.get(BUCKET) if os.environ.get(REAL) else None
    bucket = connect(environment).Bucket(given or name)
    if not given:
        bucket.create(**_location(environment))
    try:
        yield f"s3://{given}/{name}" if given else f"s3://{name}"
    finally:
        bucket.objects.filter(Prefix=f"{name}/" if given else "").delete()
        for upload in bucket.multipart_uploads.all():
            if not given or upload.object_key.startswith(name):
                upload.abort()
        if not given:
            bucket.delete()


def connect(environment: Mapping[str, str]) -> Any:
    """A store as Amazon's own library sees it, so that what the project writes is looked at with other eyes."""
    return boto3.resource(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _location(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The argument that creates a bucket in the region; us-east-1 is the one that must not be named."""
    region = environment["AWS_DEFAULT_REGION"]
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}


def _wait(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise RuntimeError("the S3 server does not start")
