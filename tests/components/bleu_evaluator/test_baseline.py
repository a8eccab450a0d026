import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.bleu_evaluator.baseline import LastBlessedModel


class History:
    """ML Metadata in memory, with models and the blessings that executions put out."""

    def __init__(self):
        self.store = MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
        self.execution_type = self.store.put_execution_type(mlmd.ExecutionType(name="Evaluator"))
        self.models: list[Artifact] = []
        self.blessings: list[Artifact] = []

    def _save(self, artifact: Artifact) -> Artifact:
        type_id = self.store.put_artifact_type(artifact.artifact_type)
        artifact.mlmd_artifact.type_id = type_id
        [artifact.id] = self.store.put_artifacts([artifact.mlmd_artifact])
        return artifact

    def model(self) -> Artifact:
        self.models.append(self._save(standard_artifacts.Model()))
        return self.models[-1]

    def bless(self, model: Artifact, blessed: int = 1) -> Artifact:
        blessing = standard_artifacts.ModelBlessing()
        blessing.set_int_custom_property("blessed", blessed)
        blessing.set_int_custom_property("current_model_id", model.id)
        self.blessings.append(self._save(blessing))
        self.give(blessing)
        return blessing

    def give(self, blessing: Artifact) -> None:
        """Puts it out, as the evaluator does, and as the cache does in its place."""
        [execution] = self.store.put_executions([mlmd.Execution(type_id=self.execution_type)])
        event = mlmd.Event(artifact_id=blessing.id, execution_id=execution, type=mlmd.Event.OUTPUT)
        self.store.put_events([event])

    def resolve(self) -> dict[str, list[Artifact]]:
        inputs = {"model": self.models, "model_blessing": self.blessings}
        return LastBlessedModel().resolve_artifacts(self.store, inputs)


@pytest.fixture
def history() -> History:
    return History()


def test_before_the_first_blessing_there_is_none(history):
    assert history.resolve() == {"model": [], "model_blessing": []}
    history.bless(history.model(), blessed=0)
    assert history.resolve() == {"model": [], "model_blessing": []}


def test_the_last_blessed_model_is_taken_with_its_blessing(history):
    history.bless(history.model())
    second = history.model()
    blessing = history.bless(second)
    history.bless(history.model(), blessed=0)
    assert history.resolve() == {"model": [second], "model_blessing": [blessing]}


def test_an_older_model_that_was_blessed_again_is_the_last(history):
    first, second = history.model(), history.model()
    history.bless(first)
    old = history.bless(second)
    history.bless(first)
    assert history.resolve()["model"] == [first]
    history.give(old)  # from the cache: back to the second one's settings
    assert history.resolve() == {"model": [second], "model_blessing": [old]}


def test_a_model_that_is_no_more_does_not_count(history):
    first = history.model()
    history.bless(first)
    history.bless(history.model())
    history.models.pop()
    assert history.resolve()["model"] == [first]
