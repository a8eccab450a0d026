import pytest
from ml_metadata.proto import metadata_store_pb2

from components.example_validator.previous import previous_statistics
from tests.fake_mlmd import PIPELINE, FakeMlmd

NODE = "Validator"
Artifact, Execution = metadata_store_pb2.Artifact, metadata_store_pb2.Execution


class Validations:
    """Statistics, each in a directory of its own, and what a validator found in them."""

    def __init__(self, directory):
        self.mlmd, self.directory = FakeMlmd(), directory

    def statistics(self, name: str) -> int:
        (self.directory / name).mkdir()
        return self.mlmd.artifact("ExampleStatistics", str(self.directory / name))

    def validate(self, statistics: int, state: int = Execution.COMPLETE, key: str = "statistics", **options) -> None:
        self.mlmd.execute(NODE, {key: statistics}, {}, state=state, **options)

    def previous(self, statistics: int, pipeline: str = PIPELINE) -> str:
        """The name of the previous statistics."""
        uri = previous_statistics(self.mlmd.store, pipeline, NODE, statistics)
        return uri.removeprefix(f"{self.directory}/")


@pytest.fixture
def validations(tmp_path) -> Validations:
    return Validations(tmp_path)


def test_the_last_other_data_counts(validations):
    one, two, three = map(validations.statistics, ("one", "two", "three"))
    assert validations.previous(one) == ""
    validations.validate(one)
    validations.validate(two)
    validations.validate(three, pipeline="another", run="r2")
    assert validations.previous(three) == "two"
    validations.validate(three)
    validations.validate(three, Execution.CACHED)
    assert validations.previous(three) == "two"  # the same answer again, so that the step is cached


def test_data_that_was_rejected_or_not_validated_does_not_count(validations):
    one, rejected, other, current = map(validations.statistics, ("one", "rejected", "other", "current"))
    validations.validate(one)
    validations.validate(rejected, Execution.FAILED)
    validations.validate(rejected, Execution.RUNNING)
    assert validations.previous(current) == "one"
    validations.validate(other, key="schema")
    assert validations.previous(current) == "one"


def test_data_that_comes_back_is_compared_with_what_came_between(validations):
    a, b = validations.statistics("a"), validations.statistics("b")
    validations.validate(a)
    validations.validate(b)
    assert validations.previous(a) == "b"
    validations.validate(a)
    validations.validate(a, Execution.CACHED)
    assert validations.previous(a) == "b"
    assert validations.previous(b) == "a"


def test_statistics_that_are_gone_do_not_count(validations, tmp_path):
    for name in ("one", "removed", "deleted"):
        validations.validate(validations.statistics(name))
    (tmp_path / "removed").rmdir()
    [deleted] = [each for each in validations.mlmd.store.get_artifacts() if each.uri.endswith("deleted")]
    deleted.state = Artifact.DELETED
    validations.mlmd.store.put_artifacts([deleted])
    current = validations.statistics("current")
    assert validations.previous(current) == "one"
    assert validations.previous(current, pipeline="unknown") == ""
