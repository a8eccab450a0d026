"""The evaluator's driver: observes the baseline, how it was evaluated, and the files that metrics read."""

import json
import os
from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import data_types
from tfx.types.standard_artifacts import ModelEvaluation

from components.bleu_evaluator import executor, requirements
from components.bleu_evaluator.baseline import hash_of_files
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared import node_cache, storage
from components.shared.driver import ObservingDriver
from components.shared.mlmd.incomplete import is_incomplete, last_incomplete
from components.shared.mlmd.results import evaluation_of
from components.shared.records import (
    CANDIDATE_ID,
    COMPARISON_MODELS,
    EVALUATION_FILE,
    INCOMPLETE,
    ROLLED_BACK,
    TEST_SET,
)
from components.shared.settings import from_properties


class Driver(ObservingDriver):
    """Evaluates a baseline again that was lost and restored, or not readable, although the cache holds the rejection.

    It also observes the test set on which the baseline was evaluated, whether the candidate was rolled back, the files
    that metrics read, and, where the candidate is the baseline itself, the comparison models with which it was not
    compared yet, or the candidate if its evaluation is incomplete or its files were deleted.
    """

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        [model] = execution_info.input_dict["model"]
        settings = from_properties(BleuEvaluatorSettings, execution_info.exec_properties)
        observed: dict[str, Any] = {
            executor.BASELINE_FILES: "",
            executor.BASELINE_TEST_SET: "",
            executor.UNCOMPARED_MODELS: "",
            executor.METRIC_FILES: requirements.fingerprint(settings),
            ROLLED_BACK: model.get_string_custom_property(ROLLED_BACK),
        }
        with self.mlmd as handle:
            observed[INCOMPLETE] = last_incomplete(handle.store, ModelEvaluation.TYPE_NAME, CANDIDATE_ID, model.id)
        for baseline in execution_info.input_dict.get("baseline_model") or []:
            observed[executor.BASELINE_FILES] = hash_of_files(_local(baseline.uri))
            with self.mlmd as handle:
                evaluation = evaluation_of(handle.store, baseline.id)
            properties = evaluation.custom_properties if evaluation else {}
            observed[executor.BASELINE_TEST_SET] = properties[TEST_SET].string_value if TEST_SET in properties else ""
            if baseline.id == model.id:
                has_compared = COMPARISON_MODELS in properties  # evaluations of version 0.1 have not
                compared = json.loads(properties[COMPARISON_MODELS].string_value) if has_compared else []
                others = [other.id for other in execution_info.input_dict.get("comparison_models") or []]
                uncompared = [str(other) for other in others if other not in compared]
                lost = [] if evaluation is None or _is_whole(evaluation) else [str(model.id)]
                observed[executor.UNCOMPARED_MODELS] = ", ".join([*lost, *uncompared])
        return observed


def _local(directory: str) -> str:
    """A copy on this disk, which the step reads next anyway; the directory itself where there is none to copy."""
    try:
        return node_cache.tree(directory)
    except FileNotFoundError:
        return directory


def _is_whole(evaluation: metadata_store_pb2.Artifact) -> bool:
    return not is_incomplete(evaluation) and storage.exists(os.path.join(evaluation.uri, EVALUATION_FILE))
