"""The evaluator's executor: reads the artifacts, and writes the decision as TFX's Pusher and Resolver expect it."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from tfx.components.evaluator import constants
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.bleu_evaluator import captioning, requirements, run_evaluation, test_set
from components.bleu_evaluator.baseline import hash_of_files
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared import record_files, records
from components.shared.evaluations import BASELINE, CANDIDATE
from components.shared.features import Manifest
from components.shared.settings import from_property
from components.shared.step import Artifacts, StepExecutor, check_unchanged, recorded_uri
from components.shared.storage import write_text
from components.shared.words import Tokenization

# execution properties that the driver sets
BASELINE_FILES = "baseline_files"  # hash of the baseline's files
BASELINE_TEST_SET = "baseline_test_set"  # the test set on which the baseline was evaluated
UNCOMPARED_MODELS = "uncompared_models"  # IDs of comparison models with which a blessed candidate was not compared
METRIC_FILES = "metric_files"  # hash of the files that metrics read


class Executor(StepExecutor):
    """See `component.BleuEvaluator`."""

    SETTINGS_CLASS = BleuEvaluatorSettings

    def run(
        self,
        inputs: Artifacts,
        outputs: Artifacts,
        settings: BleuEvaluatorSettings,
        exec_properties: Mapping[str, Any],
    ) -> None:
        model, baseline = inputs["model"], inputs.get("baseline_model")
        is_baseline = baseline is not None and baseline.id == model.id
        result: dict[str, Any] = {
            "model_label": model.get_string_custom_property(records.MODEL_LABEL),
            CANDIDATE: _recorded_dir(model),
            BASELINE: _recorded_dir(baseline) if baseline else None,
        }
        if not is_baseline or exec_properties.get(UNCOMPARED_MODELS):
            rival = None if is_baseline or settings.baseline == "none" else baseline
            models = run_evaluation.Models(
                candidate=_model_dir(model),
                baseline=_model_dir(rival) if rival else None,
                baseline_test_set=exec_properties.get(BASELINE_TEST_SET, ""),
                comparisons=_label(inputs.all("comparison_models")),
                rolled_back=exec_properties.get(records.ROLLED_BACK, ""),
            )
            tokenization = from_property(Tokenization, exec_properties[records.TOKENIZATION])
            result |= _evaluate(models, settings, inputs, outputs, tokenization)
            observed_files = exec_properties.get(METRIC_FILES)
            check_unchanged("evaluator.clip_dir or spice_dir", observed_files, requirements.fingerprint(settings))
            if rival:
                observed = exec_properties.get(BASELINE_FILES)
                check_unchanged(f"the last blessed model {recorded_uri(rival)}", observed, hash_of_files(rival.uri))
            elif baseline and not is_baseline:
                result["notes"].append("not compared with the baseline (evaluator.baseline=none)")
        if is_baseline:
            # blessed once more, so that a push that was interrupted is repeated: the Pusher knows what it has pushed
            reason = "the candidate is the last blessed model"
            result |= {"decision": records.UNCHANGED, "reasons": [reason], "rules": []}
        logging.info("evaluation: %s", result)
        _write_evaluation(result, inputs, outputs["evaluation"])
        _write_blessing(result["decision"], model, baseline, outputs["blessing"])


def _evaluate(
    models: run_evaluation.Models,
    settings: BleuEvaluatorSettings,
    inputs: Artifacts,
    outputs: Artifacts,
    tokenization: Tokenization,
) -> dict[str, Any]:
    """Evaluates the models on the test split; see `run_evaluation.evaluate`."""
    examples = inputs["examples"]
    # where the dataset has no official splits, copies of an image may be in one
    merge_copies = examples.get_string_custom_property(records.SPLITS_FROM) == records.HASHED
    data_root = examples.get_string_custom_property(records.DATA_ROOT)
    images = test_set.read(record_files.split_files(examples, records.TEST), data_root, merge_copies)
    manifest = Manifest.load(inputs["features"].uri)
    train_captions = test_set.train_captions(record_files.split_files(examples, records.TRAIN), tokenization)
    evaluation = Evaluation(images, train_captions, settings, tokenization)
    if images.num_copies:
        evaluation.notes.append(f"{images.num_copies} test images duplicate others; each group counts once")

    def caption(model_dir: str) -> dict[str, str]:
        with manifest.deleting_corrupt_shards():
            return captioning.caption_split(model_dir, manifest, images.images())

    result = run_evaluation.evaluate(models, evaluation, caption, outputs["predictions"].uri)
    images_path = os.path.join(outputs["evaluation"].uri, records.IMAGES_FILE)
    write_text(images_path, json.dumps(evaluation.images()))
    return result


def _label(models: Sequence[Artifact]) -> dict[str, str]:
    """Name -> directory of the comparison models; those without a label of their own are numbered."""
    labeled: dict[str, str] = {}
    for model in models:
        label = model.get_string_custom_property(records.MODEL_LABEL)
        is_taken = not label or label in labeled or label in (CANDIDATE, BASELINE)
        labeled[f"{label or 'model'}_{len(labeled) + 2}" if is_taken else label] = _model_dir(model)
    return labeled


def _write_evaluation(result: dict[str, Any], inputs: Artifacts, evaluation: Artifact) -> None:
    write_text(os.path.join(evaluation.uri, records.EVALUATION_FILE), json.dumps(result, indent=1))
    evaluation.set_string_custom_property(records.DECISION, result["decision"])
    evaluation.set_int_custom_property(records.CANDIDATE_ID, inputs["model"].id)
    if result.get("incomplete"):
        evaluation.set_string_custom_property(records.INCOMPLETE, json.dumps(result["incomplete"]))
    if "test_set" in result:
        evaluation.set_string_custom_property(records.TEST_SET, result["test_set"])
        evaluation.set_string_custom_property(records.RULES, json.dumps(result["rules"]))
        compared = [model.id for model in inputs.all("comparison_models")]
        evaluation.set_string_custom_property(records.COMPARISON_MODELS, json.dumps(compared))
    for name, value in result.get("metrics", {}).items():
        evaluation.set_float_custom_property(name, value)


def _write_blessing(decision: str, model: Artifact, baseline: Artifact | None, blessing: Artifact) -> None:
    is_blessed = decision != records.REJECTED
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(is_blessed))
    blessing.set_string_custom_property(records.DECISION, decision)
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, recorded_uri(model))
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    if baseline is not None:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, recorded_uri(baseline))
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    name = constants.BLESSED_FILE_NAME if is_blessed else constants.NOT_BLESSED_FILE_NAME
    write_text(os.path.join(blessing.uri, name), "")


def _model_dir(model: Artifact) -> str:
    return path_utils.serving_model_path(model.uri)


def _recorded_dir(model: Artifact) -> str:
    return os.path.join(recorded_uri(model), os.path.relpath(_model_dir(model), model.uri))
