"""A pipeline's past, made up: ML Metadata in memory."""

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd


class Past:
    """ML Metadata in memory, with executions that put out one artifact each."""

    def __init__(self):
        self.store = MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
        self.type_id = self.store.put_execution_type(mlmd.ExecutionType(name="Step"))
        self.contexts = {
            name: self.store.put_context_type(mlmd.ContextType(name=name))
            for name in ("pipeline", "pipeline_run", "node")
        }

    def artifact(self, type_name: str = "Model", uri: str = "", **properties) -> int:
        made = mlmd.Artifact(uri=uri or f"/{type_name}", state=mlmd.Artifact.LIVE)
        made.type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        for name, value in properties.items():
            field = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
            setattr(made.custom_properties[name], field, value)
        return self.store.put_artifacts([made])[0]

    def execute(
        self,
        node: str,
        inputs: dict[str, int],
        outputs: dict[str, int],
        run: str = "r1",
        state: int = mlmd.Execution.COMPLETE,
        **properties,
    ) -> int:
        """Puts down an execution, also as a part of its run."""
        execution = mlmd.Execution(type_id=self.type_id, last_known_state=state)
        for name, value in properties.items():
            execution.custom_properties[name].string_value = value
        events = []
        for kind, ports in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for key, artifact in ports.items():
                event = mlmd.Event(artifact_id=artifact, type=kind)
                event.path.steps.add().key = key
                [known] = self.store.get_artifacts_by_id([artifact])
                events.append((known, event))
        kinds = {"pipeline": "mine", "pipeline_run": run, "node": f"mine.{node}"}
        contexts = [self._context(kind, name) for kind, name in kinds.items()]
        [execution_id, *_] = self.store.put_execution(execution, events, contexts)
        pipeline, run_context = self._context("pipeline", "mine"), self._context("pipeline_run", run)  # now with ids
        if run_context.id not in [child.id for child in self.store.get_children_contexts_by_context(pipeline.id)]:
            self.store.put_parent_contexts([mlmd.ParentContext(child_id=run_context.id, parent_id=pipeline.id)])
        return execution_id

    def _context(self, kind: str, name: str) -> mlmd.Context:
        known = self.store.get_context_by_type_and_name(kind, name)
        return known or mlmd.Context(type_id=self.contexts[kind], name=name)
