"""TFX's launcher; in addition, a step that ran puts out an earlier output in place of each new one that equals it.

So the steps after it are cached although it had to run: images were touched, a file that is no image came, or its code
is written otherwise. Whether a step runs at all is decided before, by TFX's cache key: see "What makes a step run
again" in docs/operations.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import execution_publish_utils, launcher
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import execution_result_pb2
from tfx.types.artifact import Artifact

from components.shared import contents, storage
from components.shared.contents import FILES
from components.shared.mlmd.executions import outputs_of
from components.shared.mlmd.incomplete import is_incomplete
from components.shared.mlmd.runs import node_executions
from components.shared.records import CHECKPOINT_DIR, COMPUTED, DECISION

MAX_COMPARED = 5  # earlier executions that are compared with
# custom properties that say nothing about the content: those that TFX sets when it publishes, and some of ours
OWN = ("name", "state", "tfx_version", "is_external", FILES, CHECKPOINT_DIR, COMPUTED)


class Launcher(launcher.Launcher):
    """Seen with TFX 1.16 and 1.21, which publish a step that succeeded in the method below.

    Attributes:
      has_reused: whether all outputs that the step put out after it ran are earlier ones.
    """

    has_reused = False

    def _publish_successful_execution(
        self,
        execution_id: int,
        contexts: list[metadata_store_pb2.Context],
        output_dict: Mapping[str, Sequence[Artifact]],
        executor_output: execution_result_pb2.ExecutorOutput,
    ) -> None:
        outputs = {key: list(artifacts.artifacts) for key, artifacts in executor_output.output_artifacts.items()}
        if self._pipeline_node.execution_options.caching_options.enable_cache and outputs.keys() == output_dict.keys():
            with self._mlmd_connection as handle:
                earlier = equal_outputs(outputs, self._earlier_outputs(handle))
                for key in earlier:  # before it is recorded: of a killed step, the next run removes them
                    _remove_files(outputs[key])
                    logging.info("execution %d puts out the earlier %s, which equals its own", execution_id, key)
                if earlier.keys() == outputs.keys():
                    [execution] = handle.store.get_executions_by_id([execution_id])
                    execution_publish_utils.publish_cached_executions(handle, contexts, [execution], [earlier])
                    self.has_reused = True
                    return
                if earlier:  # before the others, see `equal_outputs`; killed in between, the step still runs again
                    [execution] = handle.store.get_executions_by_id([execution_id])
                    execution_lib.put_execution(handle, execution, contexts, output_artifacts=earlier)
            output_dict = {key: artifacts for key, artifacts in output_dict.items() if key not in earlier}
            for key in earlier:
                del executor_output.output_artifacts[key]
        super()._publish_successful_execution(execution_id, contexts, output_dict, executor_output)

    def _earlier_outputs(self, handle: metadata.Metadata) -> Iterator[dict[str, Artifact]]:
        """The outputs of some earlier executions of the node, the latest first."""
        executions = node_executions(handle.store, self._pipeline_info.id, self._pipeline_node.node_info.id)
        complete = [e for e in executions if e.last_known_state == metadata_store_pb2.Execution.COMPLETE]
        for execution in execution_lib.sort_executions_newest_to_oldest(complete)[:MAX_COMPARED]:
            yield outputs_of(handle.store, execution.id)


def equal_outputs(
    outputs: Mapping[str, Sequence[metadata_store_pb2.Artifact]], earlier_outputs: Iterable[Mapping[str, Artifact]]
) -> dict[str, list[Artifact]]:
    """The earlier outputs that equal new ones.

    Args:
      outputs: output key -> the new artifacts.
      earlier_outputs: output key -> artifact, of each earlier execution, the latest first.

    Returns:
      output key -> the latest earlier artifact, where one is equal; nothing for a step that decides, whose outputs
      belong together: the decision of the last run counts. They are in the order of their IDs: with outputs recorded in
      any other, TFX's cache would answer with one in place of another.
    """
    equal: dict[str, list[Artifact]] = {}
    if any(DECISION in artifact.custom_properties for artifacts in outputs.values() for artifact in artifacts):
        return equal
    for earlier in earlier_outputs:
        for key in earlier.keys() & (outputs.keys() - equal.keys()):
            if are_equal(outputs[key], earlier[key]):
                equal[key] = [earlier[key]]
        if equal.keys() == outputs.keys():
            break
    return dict(sorted(equal.items(), key=lambda item: item[1][0].id))


def _remove_files(artifacts: Sequence[metadata_store_pb2.Artifact]) -> None:
    for artifact in artifacts:
        storage.remove(artifact.uri)


def are_equal(new: Sequence[metadata_store_pb2.Artifact], earlier: Artifact) -> bool:
    """Whether the artifacts of a new output are an earlier one once more: equal properties, equal files.

    What was made while files could not be read is not used.
    """
    if len(new) != 1 or earlier.mlmd_artifact.state != metadata_store_pb2.Artifact.LIVE or is_incomplete(new[0]):
        return False
    properties = _properties(new[0])
    if properties != _properties(earlier.mlmd_artifact):
        return False
    return contents.are_equal(new[0].uri, earlier.uri)


def _properties(artifact: metadata_store_pb2.Artifact) -> dict[str, bytes]:
    properties = [*artifact.properties.items(), *artifact.custom_properties.items()]
    return {name: value.SerializeToString(deterministic=True) for name, value in properties if name not in OWN}
