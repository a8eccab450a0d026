from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_artifacts

from components.example_validator.driver import Driver
from tests.fake_mlmd import FakeMlmd


def test_the_validator_observes_the_statistics_of_the_data_before():
    class Handle:
        store = FakeMlmd().store

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    statistics = standard_artifacts.ExampleStatistics()
    statistics.id = 7
    info = data_types.ExecutionInfo(
        input_dict={"statistics": [statistics]},
        exec_properties={},
        pipeline_info=pipeline_pb2.PipelineInfo(id="mine"),
        pipeline_node=pipeline_pb2.PipelineNode(node_info=pipeline_pb2.NodeInfo(id="ExampleValidator")),
    )
    Driver(Handle()).run(info)
    assert info.exec_properties["previous_statistics"] == ""  # there are none so far
