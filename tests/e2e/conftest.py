"""One first run is made for all tests of a file; each test starts from the state that it left."""

import pytest

from tests.e2e.workplace import Workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("e2e"))


@pytest.fixture
def after_first(workplace) -> Workplace:
    workplace.set_back()
    return workplace


@pytest.fixture
def first(workplace) -> dict:
    return workplace.first
