import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.bleu_evaluator.baseline import LastBlessedModel
from components.shared.contents import FILES, describe
from tests.fake_mlmd import memory_connection


class History:
    """ML Metadata in memory, with models, and blessings that executions output."""

    def __init__(self):
        self.store = MetadataStore(memory_connection())
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
        self.output(blessing)
        return blessing

    def output(self, blessing: Artifact) -> None:
        """Outputs a blessing, as the evaluator does, or the cache in its place."""
        [execution] = self.store.put_executions([mlmd.Execution(type_id=self.execution_type)])
        event = mlmd.Event(artifact_id=blessing.id, execution_id=execution, type=mlmd.Event.OUTPUT)
        self.store.put_events([event])

    def resolve(self) -> dict[str, list[Artifact]]:
        inputs = {"model": self.models, "model_blessing": self.blessings}
        return LastBlessedModel().resolve_artifacts(self.store, inputs)


@pytest.fixture
def history() -> History:
    return History()


def test_there_is_no_baseline_before_the_first_blessing(history):
    assert history.resolve() == {"model": [], "model_blessing": []}
    history.bless(history.model(), blessed=0)
    assert history.resolve() == {"model": [], "model_blessing": []}


def test_the_baseline_is_the_last_blessed_model_with_its_blessing(history):
    history.bless(history.model())
    second = history.model()
    blessing = history.bless(second)
    history.bless(history.model(), blessed=0)
    assert history.resolve() == {"model": [second], "model_blessing": [blessing]}


def test_an_older_model_that_was_blessed_again_is_the_baseline(history):
    first, second = history.model(), history.model()
    history.bless(first)
    old = history.bless(second)
    history.bless(first)
    assert history.resolve()["model"] == [first]
    history.output(old)  # from the cache, after a return to the second model's settings
    assert history.resolve() == {"model": [second], "model_blessing": [old]}


def test_a_damaged_model_is_no_baseline_but_one_that_can_be_restored_is(history, tmp_path):
    first, second = history.model(), history.model()
    history.bless(first)
    history.bless(second)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    second.uri = str(tmp_path / "model")
    second.set_string_custom_property(FILES, describe(second.uri))
    assert history.resolve()["model"] == [second]
    (tmp_path / "model").rename(tmp_path / "moved")
    assert history.resolve()["model"] == [second]  # the evaluator refuses it, and says so
    (tmp_path / "moved").rename(tmp_path / "model")
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"")
    assert history.resolve()["model"] == [first]


def test_a_deleted_model_is_no_baseline(history):
    first = history.model()
    history.bless(first)
    history.bless(history.model())
    history.models.pop()
    assert history.resolve()["model"] == [first]
