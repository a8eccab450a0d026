"""The evaluator's executor: captions, scores, decides, and writes it down as TFX's Pusher and Resolver expect it."""

import dataclasses
import json
import os
from typing import Any

from absl import logging
from tfx.components.evaluator import constants
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components import records
from components.atomic import write_text
from components.bleu_evaluator import captioning, test_set
from components.bleu_evaluator.decision import Verdict, decide
from components.bleu_evaluator.evaluation import (
    BASELINE,
    CANDIDATE,
    Evaluation,
    Settings,
    cause_of,
    not_measured,
    rolled_back,
)
from components.features import Manifest

TO_COMPARE = "to_compare"  # execution property: ids of models that the candidate, blessed before, is new to


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
        is_baseline = baseline is not None and baseline.id == model.id
        if not is_baseline or exec_properties.get(TO_COMPARE):
            other_dir = None if is_baseline else baseline_dir
            result |= _evaluate(input_dict, output_dict, exec_properties, candidate_dir, other_dir)
        if is_baseline:
            # blessed once more, so that a push that was cut off is made up for: the Pusher knows what it pushed
            unchanged = "the candidate is the last blessed model"
            result |= {"decision": records.UNCHANGED, "reasons": [unchanged], "rules": []}
        logging.info("evaluation: %s", result)
        _publish(result, input_dict, output_dict)


def _evaluate(
    input_dict: dict[str, list[Artifact]],
    output_dict: dict[str, list[Artifact]],
    exec_properties: dict[str, Any],
    candidate_dir: str,
    baseline_dir: str | None,
) -> dict[str, Any]:
    """Captions the test split with both models: metrics, decision and reasons."""
    bounds = {name: exec_properties[name] for name in ("min_bleu_4", "min_gain")}
    settings = Settings(**bounds, **json.loads(exec_properties["settings"]))
    examples = artifact_utils.get_single_instance(input_dict["examples"])
    pictures = test_set.read(examples)
    evaluation = Evaluation(pictures, test_set.training_captions(examples), settings)
    manifest = Manifest.load(artifact_utils.get_single_uri(input_dict["features"]))
    predictions_dir = artifact_utils.get_single_uri(output_dict["predictions"])
    paths = dict(zip(pictures.image_ids, pictures.paths, strict=True))

    def caption(name: str, model_dir: str, file_name: str) -> None:
        with manifest.mending():
            captions = captioning.caption_split(model_dir, manifest, paths)
        coco = [{"image_id": image_id, "caption": captions[image_id]} for image_id in pictures.image_ids]
        write_text(os.path.join(predictions_dir, file_name), json.dumps(coco, ensure_ascii=False, indent=1))
        evaluation.add(name, captions)

    caption(CANDIDATE, candidate_dir, "predictions.json")
    gains: dict[str, dict] = {}
    for name, other in _by_name(input_dict.get("other_models") or []).items():
        try:
            caption(name, _model_dir(other), f"{name}_predictions.json")
            gains[name] = evaluation.gains(CANDIDATE, name)
        except Exception as error:  # it has no say in the decision, and is not to hold it up
            logging.exception("%s can't be measured", name)
            evaluation.notes.append(f"{name} can't be measured ({cause_of(error)})")
    verdicts = []
    if baseline_dir and exec_properties["baseline"] != "none":
        try:
            caption(BASELINE, baseline_dir, "baseline_predictions.json")
            gains[BASELINE] = evaluation.gains(CANDIDATE, BASELINE)
        except Exception as error:  # whatever a SavedModel that was moved, cut or made by other versions raises
            logging.exception("the baseline can't be measured")
            verdicts.append(not_measured(baseline_dir, error))
        evaluation.notes += _compared(pictures.fingerprint, exec_properties.get("baseline_test_set", ""))
    if when := exec_properties.get(records.ROLLED_BACK):
        verdicts.append(rolled_back(when))
    evaluation_dir = artifact_utils.get_single_uri(output_dict["evaluation"])
    write_text(os.path.join(evaluation_dir, records.PICTURES_FILE), json.dumps(evaluation.pictures()))
    return _result(verdicts, evaluation, gains)


def _by_name(others: list[Artifact]) -> dict[str, Artifact]:
    """The models trained beside the candidate, by what the figures call them; those without a name are numbered."""
    found: dict[str, Artifact] = {}
    for other in others:
        name = other.get_string_custom_property(records.MODEL_NAME)
        taken = not name or name in found or name in (CANDIDATE, BASELINE)
        found[f"{name or 'model'}-{len(found) + 2}" if taken else name] = other
    return found


def _result(others: list[Verdict], evaluation: Evaluation, gains: dict[str, dict]) -> dict[str, Any]:
    """What is written down, by the rules and the verdicts that rest on no figure."""
    figures = evaluation.figures()
    verdicts = decide(_values(figures[CANDIDATE]), gains.get(BASELINE), evaluation.settings.rules) + others
    blessed = all(verdict.met for verdict in verdicts)
    return {
        "decision": records.BLESSED if blessed else records.REFUSED,
        "reasons": [verdict.sentence() for verdict in verdicts],
        "rules": [dataclasses.asdict(verdict) for verdict in verdicts],
        "notes": evaluation.notes,
        "pictures": len(evaluation.test_set.image_ids),
        "test_set": evaluation.test_set.fingerprint,
        "metrics": _values(figures[CANDIDATE]),
        "baseline_metrics": _values(figures[BASELINE]) if BASELINE in gains else None,
        "models": {name: found for name, found in figures.items() if name in (CANDIDATE, *gains)},
        "gains": gains,
        "slices": evaluation.slices(),
    }


def _compared(now: str, before: str) -> list[str]:
    """Says so where the test set is another one than the baseline was blessed on."""
    if not before or before == now:
        return []
    return [
        f"the test set has changed since the last blessed model was measured ({before}, now {now}): its figures here "
        "are on the present one, and not those that it was blessed with"
    ]


def _values(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: figure["value"] for name, figure in figures.items()}


def _publish(
    result: dict[str, Any], input_dict: dict[str, list[Artifact]], output_dict: dict[str, list[Artifact]]
) -> None:
    """Writes evaluation and blessing."""
    model = artifact_utils.get_single_instance(input_dict["model"])
    evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
    result["model_name"] = model.get_string_custom_property(records.MODEL_NAME)
    write_text(os.path.join(evaluation.uri, records.EVALUATION_FILE), json.dumps(result, indent=1))
    evaluation.set_string_custom_property(records.DECISION, result["decision"])
    evaluation.set_int_custom_property(records.CANDIDATE_ID, model.id)
    if "test_set" in result:
        evaluation.set_string_custom_property(records.TEST_SET, result["test_set"])
        evaluation.set_string_custom_property(records.RULES, json.dumps(result["rules"]))
        others = [other.id for other in input_dict.get("other_models") or []]
        evaluation.set_string_custom_property(records.OTHER_MODELS, json.dumps(others))
    for name, value in result.get("metrics", {}).items():
        evaluation.set_float_custom_property(name, value)

    blessing = artifact_utils.get_single_instance(output_dict["blessing"])
    blessed = result["decision"] != records.REFUSED
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
    blessing.set_string_custom_property(records.DECISION, result["decision"])
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    for baseline in input_dict.get("baseline_model") or []:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    write_text(os.path.join(blessing.uri, name), "")


def _model_dir(model: Artifact) -> str:
    return path_utils.serving_model_path(model.uri)
