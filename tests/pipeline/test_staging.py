import os
import pathlib

import pytest
from tfx.orchestration.portable import outputs_utils
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.shared import node_cache, object_store, storage
from components.shared.step import recorded_uri
from pipeline import staging


def artifact(uri: str, artifact_id: int = 1) -> Artifact:
    result = standard_artifacts.Model()
    result.uri, result.id = uri, artifact_id
    return result


@pytest.fixture
def execution(bucket) -> ExecutionInfo:
    """An execution with an input and an output in a bucket."""
    storage.write_text(f"{bucket}/Trainer/weights/1/deep/file", "trained")
    system = f"{bucket}/Exporter/.system/executor_execution/2"
    return ExecutionInfo(
        execution_id=2,
        input_dict={"weights": [artifact(f"{bucket}/Trainer/weights/1")], "base_model": []},
        output_dict={"model": [artifact(f"{bucket}/Exporter/model/2")]},
        execution_output_uri=f"{system}/executor_output.pb",
        stateful_working_dir=f"{bucket}/Exporter/.system/stateful_working_dir/x",
        tmp_dir=f"{system}/.temp/",
    )


def result_of(info: ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
    """What TFX makes of an executor's outputs."""
    output = execution_result_pb2.ExecutorOutput()
    outputs_utils.populate_output_artifact(output, info.output_dict)
    return output


def test_an_executor_sees_this_disk_and_tfx_the_bucket(execution, bucket):
    with staging.staged(execution) as staged:
        info = staged.info
        [weights], [model] = info.input_dict["weights"], info.output_dict["model"]
        assert (pathlib.Path(weights.uri) / "deep" / "file").read_text() == "trained"
        assert recorded_uri(weights) == f"{bucket}/Trainer/weights/1"
        assert info.input_dict["base_model"] == []
        assert os.listdir(model.uri) == []
        assert os.path.isdir(info.tmp_dir) and os.path.isdir(info.stateful_working_dir)
        assert os.path.isdir(os.path.dirname(info.execution_output_uri))
        (pathlib.Path(model.uri) / "graph").write_text("exported")
        output = result_of(info)
        staged.publish(output)
    [published] = output.output_artifacts["model"].artifacts
    assert published.uri == f"{bucket}/Exporter/model/2"
    assert storage.read_text(f"{published.uri}/graph") == "exported"
    assert not os.path.exists(info.tmp_dir)
    # what the launcher has is as it was
    assert execution.output_dict["model"][0].uri == f"{bucket}/Exporter/model/2"
    assert recorded_uri(execution.input_dict["weights"][0]) == f"{bucket}/Trainer/weights/1"


def test_the_next_step_does_not_download_what_this_one_wrote(execution, monkeypatch):
    with staging.staged(execution) as staged:
        [model] = staged.info.output_dict["model"]
        (pathlib.Path(model.uri) / "graph").write_text("exported")
        output = result_of(staged.info)
        staged.publish(output)
    monkeypatch.delattr(object_store, "download")
    copy = node_cache.tree(output.output_artifacts["model"].artifacts[0].uri)
    assert (pathlib.Path(copy) / "graph").read_text() == "exported"


def test_a_step_that_fails_leaves_nothing(execution, bucket):
    with pytest.raises(RuntimeError), staging.staged(execution) as staged:
        [model] = staged.info.output_dict["model"]
        (pathlib.Path(model.uri) / "graph").write_text("half")
        raise RuntimeError
    assert storage.list_names(f"{bucket}/Exporter") == []
    assert not os.path.exists(model.uri)


def test_an_input_that_is_gone_is_no_directory(execution, bucket):
    storage.remove(f"{bucket}/Trainer")
    with staging.staged(execution) as staged:
        [weights] = staged.info.input_dict["weights"]
        assert not os.path.exists(weights.uri)
        assert recorded_uri(weights) == f"{bucket}/Trainer/weights/1"


def test_artifacts_on_a_disk_are_left_alone(tmp_path):
    model = artifact(str(tmp_path / "model"))
    info = ExecutionInfo(input_dict={"a": [model]}, output_dict={"b": [model]}, tmp_dir=str(tmp_path))
    with staging.staged(info) as staged:
        assert staged.info == info
        output = result_of(staged.info)
        staged.publish(output)
    assert output.output_artifacts["b"].artifacts[0].uri == str(tmp_path / "model")
    assert recorded_uri(model) == model.uri
