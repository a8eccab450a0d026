"""BleuEvaluator: the gate between training and serving."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.bleu_evaluator import executor
from components.driver import FingerprintDriver
from components.history import evaluation_of
from components.records import OTHER_MODELS, ROLLED_BACK, TEST_SET, Features, Predictions
from components.source import source_hash


class BleuEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BleuEvaluator`."""

    PARAMETERS = {
        "min_bleu_4": ExecutionParameter(type=float),
        "min_gain": ExecutionParameter(type=float),
        "baseline": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "features": ChannelParameter(type=Features),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "other_models": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "predictions": ChannelParameter(type=Predictions),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Driver(FingerprintDriver):
    """Looks at the baseline: one that was lost and is back is measured again, though the cache holds the refusal."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return exec_properties.get("baseline_files", "")

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """See `FingerprintDriver`.

        It finds the test set, too, that the baseline was measured on when it was blessed, whether the candidate was
        rolled back, and which models it has not been compared with, where it is the baseline itself.
        """
        [model] = execution_info.input_dict["model"]
        found = {"baseline_test_set": "", executor.TO_COMPARE: "", ROLLED_BACK: ""}
        found[ROLLED_BACK] = model.get_string_custom_property(ROLLED_BACK)
        for baseline in execution_info.input_dict.get("baseline_model") or []:
            execution_info.exec_properties["baseline_files"] = files_of(baseline.uri)
            with self._mlmd_connection as handle:
                evaluation = evaluation_of(handle.store, baseline.id)
            known = evaluation.custom_properties if evaluation else {}
            found["baseline_test_set"] = known[TEST_SET].string_value if TEST_SET in known else ""
            if baseline.id == model.id:
                measured = json.loads(known[OTHER_MODELS].string_value) if OTHER_MODELS in known else []
                others = [other.id for other in execution_info.input_dict.get("other_models") or []]
                found[executor.TO_COMPARE] = ", ".join(str(other) for other in others if other not in measured)
        output = super().run(execution_info)
        for name, value in found.items():
            execution_info.exec_properties[name] = value
            data_types_utils.set_metadata_value(output.exec_properties[name], value)
        return output


def files_of(directory: str) -> str:
    """Hash of the names and sizes of all files below a directory; of nothing where there is none."""
    digest = hashlib.sha256()
    for folder, _, names in sorted(tf.io.gfile.walk(directory)):
        for name in sorted(names):
            path = tf.io.gfile.join(folder, name)
            try:
                length = tf.io.gfile.stat(path).length
            except tf.errors.OpError:  # a link to nowhere; whether the model loads without it is seen later
                length = -1
            digest.update(f"{path}\0{length}\0".encode())
    return digest.hexdigest()[:16]


class BleuEvaluator(base_component.BaseComponent):
    """Captions the test split through the exported model, measures it by several metrics, and blesses or refuses.

    A baseline that can't be measured is a refusal, with the reason. Outputs: `predictions` (COCO results format),
    `evaluation` (see `executor`: metrics with intervals, rules with their verdicts, slices; every picture), `blessing`.
    """

    SPEC_CLASS = BleuEvaluatorSpec
    DRIVER_CLASS = Driver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    SOURCE = (
        "components.bleu_evaluator",
        "components.atomic",
        "components.datasets",
        "components.features",
        "components.images",
        "components.progress",
        "components.records",
    )

    def __init__(
        self,
        examples: BaseChannel,
        features: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel | None = None,
        other_models: BaseChannel | None = None,
        min_bleu_4: float = 0.0,
        min_gain: float = 0.0,
        baseline: str = "last_blessed",
        settings: Mapping[str, Any] | None = None,
    ):
        """Constructs the component.

        Args:
          examples: of CaptionIngest; its test split has the references, word by word.
          features: of FeatureExtractor.
          model: the candidate.
          baseline_model: the last blessed one, from a Resolver; none on a first run.
          other_models: trained beside the candidate, named by the custom property `model_name`: measured and compared
            with, but without a say in the decision.
          min_bleu_4: least corpus BLEU-4, 0 to 1.
          min_gain: least BLEU-4 over the baseline's; below 0 it allows a loss.
          baseline: "last_blessed", or "none" to bless without a comparison.
          settings: the other fields of `evaluation.Settings`.
        """
        spec = BleuEvaluatorSpec(
            examples=examples,
            features=features,
            model=model,
            baseline_model=baseline_model,
            other_models=other_models,
            min_bleu_4=min_bleu_4,
            min_gain=min_gain,
            baseline=baseline,
            settings=json.dumps(dict(settings or {}), sort_keys=True),
            source=source_hash(*self.SOURCE),
            predictions=channel_utils.as_channel([Predictions()]),
            evaluation=channel_utils.as_channel([standard_artifacts.ModelEvaluation()]),
            blessing=channel_utils.as_channel([standard_artifacts.ModelBlessing()]),
        )
        super().__init__(spec=spec)
