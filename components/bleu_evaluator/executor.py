"""The evaluator's executor: captions, scores, decides, and writes it down as TFX's Pusher and Resolver expect it."""

import json
import os
from typing import Any

import tensorflow as tf
from absl import logging
from tfx.components.evaluator import constants
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components import records
from components.atomic import write_text
from components.bleu_evaluator import bleu, captioning
from components.bleu_evaluator.decision import Rules, decide
from components.features import Manifest


class BaselineError(RuntimeError):
    """The last blessed model can't be measured; the message says what to do."""


class Executor(BaseExecutor):
    """See `component.BleuEvaluator`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict["model"])
        baselines = input_dict.get("baseline_model") or []
        baseline = baselines[0] if baselines else None
        candidate_dir, baseline_dir = _model_dir(model), _model_dir(baseline) if baseline else None
        result: dict[str, Any] = {"candidate": candidate_dir, "baseline": baseline_dir}
        if baseline and baseline.id == model.id:
            # blessed once more, so that a push that was cut off is made up for: the Pusher knows what it pushed
            result |= {"decision": records.UNCHANGED, "reasons": ["the candidate is the last blessed model"]}
        else:
            result |= _evaluate(input_dict, output_dict, exec_properties, candidate_dir, baseline_dir)
        logging.info("evaluation: %s", result)
        _publish(result, model, baseline, output_dict)


def _evaluate(
    input_dict: dict[str, list[Artifact]],
    output_dict: dict[str, list[Artifact]],
    exec_properties: dict[str, Any],
    candidate_dir: str,
    baseline_dir: str | None,
) -> dict[str, Any]:
    """Captions the test split with both models: metrics, decision and reasons."""
    manifest = Manifest.load(artifact_utils.get_single_uri(input_dict["features"]))
    paths = _picture_paths(artifact_utils.get_single_instance(input_dict["examples"]))
    references = _references(artifact_utils.get_single_instance(input_dict["transformed_examples"]))
    predictions_dir = artifact_utils.get_single_uri(output_dict["predictions"])

    def measure(model_dir: str, file_name: str) -> dict[str, float]:
        predictions = captioning.caption_split(model_dir, manifest, paths)
        coco = [{"image_id": image_id, "caption": predictions[image_id]} for image_id in sorted(predictions)]
        write_text(os.path.join(predictions_dir, file_name), json.dumps(coco, ensure_ascii=False, indent=1))
        return bleu.score(predictions, references)

    metrics, baseline_metrics = measure(candidate_dir, "predictions.json"), None
    if baseline_dir and exec_properties["baseline"] != "none":
        try:
            baseline_metrics = measure(baseline_dir, "baseline_predictions.json")
        except Exception as error:  # whatever a SavedModel that was moved, cut or made by other versions raises
            cause = (str(error) or type(error).__name__).splitlines()[0]
            # a failed step, since an answer would be kept in the cache after the model is back
            raise BaselineError(
                f"the last blessed model {baseline_dir} can't be measured ({cause}): put it back, or set "
                "evaluator.baseline to none for one run, which blesses without a comparison"
            ) from error
    rules = Rules(exec_properties["min_bleu_4"], exec_properties["min_gain"])
    blessed, reasons = decide(metrics, baseline_metrics, rules)
    return {
        "decision": records.BLESSED if blessed else records.REFUSED,
        "reasons": reasons,
        "pictures": len(paths),
        "metrics": metrics,
        "baseline_metrics": baseline_metrics,
    }


def _publish(
    result: dict[str, Any], model: Artifact, baseline: Artifact | None, output_dict: dict[str, list[Artifact]]
) -> None:
    """Writes evaluation and blessing."""
    evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
    write_text(os.path.join(evaluation.uri, "evaluation.json"), json.dumps(result, indent=1))
    evaluation.set_string_custom_property(records.DECISION, result["decision"])
    evaluation.set_int_custom_property("candidate_id", model.id)
    for name, value in result.get("metrics", {}).items():
        evaluation.set_float_custom_property(name, value)

    blessing = artifact_utils.get_single_instance(output_dict["blessing"])
    blessed = result["decision"] != records.REFUSED
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
    blessing.set_string_custom_property(records.DECISION, result["decision"])
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    if baseline:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    write_text(os.path.join(blessing.uri, name), "")


def _model_dir(model: Artifact) -> str:
    return path_utils.serving_model_path(model.uri)


def _picture_paths(examples: Artifact) -> dict[str, str]:
    """Image id -> file, of the test split."""
    root = examples.get_string_custom_property(records.DATA_ROOT)
    spec = {name: records.EXAMPLE_SPEC[name] for name in (records.IMAGE_ID, records.IMAGE_URI)}
    paths = {}
    for batch in records.read_examples(records.split_files(examples, records.TEST), spec):
        for image_id, uri in zip(batch[records.IMAGE_ID].numpy(), batch[records.IMAGE_URI].numpy(), strict=True):
            paths[image_id.decode()] = os.path.join(root, uri.decode())
    return paths


def _references(transformed_examples: Artifact) -> dict[str, list[str]]:
    """Image id -> cleaned sentences, of the test split."""
    spec = {
        records.IMAGE_ID: records.EXAMPLE_SPEC[records.IMAGE_ID],
        records.REFERENCES: tf.io.RaggedFeature(tf.string),
    }
    references = {}
    for batch in records.read_examples(records.split_files(transformed_examples, records.TEST), spec):
        for image_id, sentences in zip(
            batch[records.IMAGE_ID].numpy(), batch[records.REFERENCES].to_list(), strict=True
        ):
            references[image_id.decode()] = [sentence.decode() for sentence in sentences if sentence]
    return references
