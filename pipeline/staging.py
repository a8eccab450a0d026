"""Local copies of artifacts in a bucket: TFX sees their URIs, and a step's executor sees directories on this disk.

Inputs are read through the node's cache. Outputs, and TFX's working directories, lie in a scratch directory until the
step has succeeded; then they are uploaded. Artifacts on a disk are left alone.
"""

import contextlib
import copy
import os
from collections.abc import Iterator

import attr
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import execution_result_pb2
from tfx.types.artifact import Artifact

from components.shared import node_cache, storage
from components.shared.step import RECORDED_URI


class StagedExecution:
    """An execution with local directories in the place of URIs.

    Attributes:
      info: what the executor is to be called with.
    """

    def __init__(self, execution_info: ExecutionInfo, scratch: str):
        """Stages the inputs.

        Args:
          execution_info: the execution as the launcher knows it.
          scratch: an empty directory.
        """
        self._uris: dict[str, str] = {}  # local output directory -> its URI
        self._scratch = scratch
        directories = {
            name: self._place(name)
            for name in ("tmp_dir", "stateful_working_dir")
            if not storage.is_local(getattr(execution_info, name) or "")
        }
        if not storage.is_local(execution_info.execution_output_uri or ""):
            directories["execution_output_uri"] = os.path.join(self._place("result"), "executor_output.pb")
        self.info = attr.evolve(
            execution_info,
            input_dict={key: [_stage(a, scratch) for a in inputs] for key, inputs in execution_info.input_dict.items()},
            output_dict={
                key: [self._output(artifact, os.path.join(key, str(number))) for number, artifact in enumerate(outputs)]
                for key, outputs in execution_info.output_dict.items()
            },
            **directories,
        )

    def publish(self, output: execution_result_pb2.ExecutorOutput) -> None:
        """Uploads the outputs of an executor that has succeeded, and puts their URIs into its result."""
        for artifacts in output.output_artifacts.values():
            for artifact in artifacts.artifacts:
                if uri := self._uris.get(artifact.uri):
                    storage.copy_tree(artifact.uri, uri)
                    node_cache.adopt(uri, artifact.uri)  # the next steps read it
                    artifact.uri = uri

    def _output(self, artifact: Artifact, name: str) -> Artifact:
        if storage.is_local(artifact.uri):
            return artifact
        local = copy.deepcopy(artifact)
        local.uri = self._place(os.path.join("outputs", name))
        self._uris[local.uri] = artifact.uri
        return local

    def _place(self, name: str) -> str:
        directory = os.path.join(self._scratch, name)
        storage.make_directory(directory)
        return directory


@contextlib.contextmanager
def staged(execution_info: ExecutionInfo) -> Iterator[StagedExecution]:
    """Stages an execution while the block runs."""
    with contextlib.ExitStack() as stack:
        of_keys = (*execution_info.input_dict.values(), *execution_info.output_dict.values())
        artifacts = [artifact for of_key in of_keys for artifact in of_key]
        is_remote = any(not storage.is_local(artifact.uri) for artifact in artifacts)
        scratch = stack.enter_context(node_cache.scratch()) if is_remote else ""
        yield StagedExecution(execution_info, scratch)


def _stage(artifact: Artifact, scratch: str) -> Artifact:
    """The input with a local copy of its files; a directory that does not exist where they are gone."""
    if storage.is_local(artifact.uri):
        return artifact
    local = copy.deepcopy(artifact)
    local.set_string_custom_property(RECORDED_URI, artifact.uri)
    try:
        local.uri = node_cache.tree(artifact.uri)
    except FileNotFoundError:
        local.uri = os.path.join(scratch, "gone", str(artifact.id))
    return local
