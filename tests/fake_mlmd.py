"""ML Metadata in memory, with the history that a test gives it."""

import json
import os

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration.portable.mlmd import event_lib

from components.shared import storage
from pipeline.paths import Paths

PIPELINE = "mine"
CONTEXT_TYPES = ("pipeline", "pipeline_run", "node")


def sqlite_connection(directory: str | os.PathLike) -> mlmd.ConnectionConfig:
    """The connection to the database of a root, which is created if need be."""
    sqlite = mlmd.SqliteMetadataSourceConfig(filename_uri=Paths(str(directory)).metadata)
    sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return mlmd.ConnectionConfig(sqlite=sqlite)


def memory_connection() -> mlmd.ConnectionConfig:
    """The connection to an empty database in memory."""
    return mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig())


class FakeMlmd:
    """ML Metadata in memory, or in a given store, with executions that have one artifact per input and output."""

    def __init__(self, store: MetadataStore | None = None):
        self.store = store or MetadataStore(memory_connection())
        self.type_id = self.store.put_execution_type(mlmd.ExecutionType(name="Step"))
        self.contexts = {name: self.store.put_context_type(mlmd.ContextType(name=name)) for name in CONTEXT_TYPES}

    def artifact(self, type_name: str = "Model", uri: str = "", **properties) -> int:
        """Adds an artifact; returns its ID."""
        artifact = mlmd.Artifact(uri=uri or f"/{type_name}", state=mlmd.Artifact.LIVE)
        artifact.type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        for name, value in properties.items():
            _set(artifact.custom_properties[name], value)
        return self.store.put_artifacts([artifact])[0]

    def execute(
        self,
        node: str,
        inputs: dict[str, int],
        outputs: dict[str, int],
        run: str = "r1",
        state: int = mlmd.Execution.COMPLETE,
        pipeline: str = PIPELINE,
        **properties,
    ) -> int:
        """Adds an execution of a node, as part of a run; returns its ID."""
        execution = mlmd.Execution(type_id=self.type_id, last_known_state=state)
        for name, value in properties.items():
            _set(execution.custom_properties[name], value)
        events = []
        for event_type, artifact_ids in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for key, artifact_id in artifact_ids.items():
                [artifact] = self.store.get_artifacts_by_id([artifact_id])
                events.append((artifact, event_lib.generate_event(event_type, key, 0, artifact_id)))
        names = {"pipeline": pipeline, "pipeline_run": run, "node": f"{pipeline}.{node}"}
        contexts = [self._context(type_name, name) for type_name, name in names.items()]
        [execution_id, *_] = self.store.put_execution(execution, events, contexts)
        parent, child = self._context("pipeline", pipeline), self._context("pipeline_run", run)  # now with ids
        if child.id not in [context.id for context in self.store.get_children_contexts_by_context(parent.id)]:
            self.store.put_parent_contexts([mlmd.ParentContext(child_id=child.id, parent_id=parent.id)])
        return execution_id

    def _context(self, type_name: str, name: str) -> mlmd.Context:
        context = self.store.get_context_by_type_and_name(type_name, name)
        return context or mlmd.Context(type_id=self.contexts[type_name], name=name)


def write_history(root: str | os.PathLike, store: MetadataStore | None = None) -> None:
    """Writes ML Metadata and serving directory of a root with two pushed models, of the runs one and two.

    Args:
      root: the root, on a disk or in a bucket.
      store: where the history goes; None for the file of a root on a disk.
    """
    paths = Paths(str(root))
    storage.make_directory(paths.root)
    history = FakeMlmd(store or MetadataStore(sqlite_connection(root)))
    for number, run in ((1, "one"), (2, "two")):
        model = history.artifact("Model", os.path.join(paths.artifacts, run))
        history.execute("Exporter", {}, {"model": model}, run, settings=json.dumps({"beam_size": number}))
        blessing = history.artifact("ModelBlessing", current_model_id=model, blessed=1)
        evaluation = history.artifact("ModelEvaluation", decision="blessed", candidate_id=model)
        history.execute("BleuEvaluator", {"model": model}, {"blessing": blessing, "evaluation": evaluation}, run)
        version = os.path.join(paths.serving, str(number))
        storage.write_text(os.path.join(version, "saved_model.pb"), run)
        pushed = history.artifact("PushedModel", pushed_version=str(number), pushed_destination=version)
        history.execute("Pusher", {"model": model, "model_blessing": blessing}, {"pushed_model": pushed}, run)


def _set(proto: mlmd.Value, value: int | float | str) -> None:
    field = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
    setattr(proto, field, value)
