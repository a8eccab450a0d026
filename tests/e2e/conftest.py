"""One first run serves all tests of a process; each test starts from the state that it left."""

from collections.abc import Iterator

import pytest

from benchmarks.fork_server import ForkServer
from tests.e2e.sandbox import Sandbox


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def first_sandbox(tmp_path_factory, fork_server) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("e2e"), fork_server)


@pytest.fixture
def sandbox(first_sandbox) -> Sandbox:
    first_sandbox.reset()
    return first_sandbox


@pytest.fixture
def first(first_sandbox) -> dict:
    return first_sandbox.first
