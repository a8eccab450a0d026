"""A real S3 server for tests: moto's, in a process of its own."""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from components.shared import object_store

KEY, SECRET = "captions", "captions-secret"
START_SECONDS = 60


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Starts a server; yields the environment that leads clients to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(command, stdout=null, stderr=null)
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


def new_bucket(environment: dict[str, str]) -> str:
    """Creates an empty bucket; returns its URI."""
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    name = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return f"s3://{name}"


def _wait(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise RuntimeError("the S3 server does not start")


def recorded_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the operations on a bucket, which are added as they are made."""
    made: list[str] = []

    def record(name: str, operation: Callable[..., Any], *args: Any) -> Any:
        made.append(name)
        return operation(*args)

    operations = ("stat", "list_tree", "list_directory", "download", "upload", "read_bytes", "write_bytes", "remove")
    for name in operations:
        monkeypatch.setattr(object_store, name, functools.partial(record, name, getattr(object_store, name)))
    return made
