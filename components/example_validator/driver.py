"""The validator's driver: finds the statistics of the last other data that passed."""

from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types

from components.example_validator import executor, previous
from components.shared.driver import ObservingDriver


class Driver(ObservingDriver):
    """Runs the step again when there are other statistics to compare with.

    A Resolver cannot find them: it resolves to the last run's statistics, which differ in each run, so that the step
    would never be cached.
    """

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        [statistics] = execution_info.input_dict["statistics"]
        with self.mlmd as handle:
            uri = previous.previous_statistics(
                handle.store, execution_info.pipeline_info.id, execution_info.pipeline_node.node_info.id, statistics.id
            )
        return {executor.PREVIOUS: uri}
