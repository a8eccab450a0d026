"""What the evaluator does with data and baselines that are not what they were."""

import dataclasses
import json
import pathlib

import pytest
import tensorflow as tf
from tfx.orchestration.portable import data_types

from components.bleu_evaluator import captioning, test_set
from components.bleu_evaluator.driver import Driver, hash_of_files
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.executor import BASELINE_FILES, METRIC_FILES
from components.report import page
from components.shared import evaluations, records
from components.shared.features import CorruptShardError, Manifest
from components.shared.images.ingested import ImageChangedError
from components.shared.step import ChangedDuringStepError
from tests.components.bleu_evaluator.factories import CAPTIONS, TEST_IMAGES, write_split
from tests.components.report.factories import report_data


def test_without_a_baseline_by_choice_the_results_say_so(evaluate, model):
    note = "not compared with the baseline (evaluator.baseline=none)"
    result, _, out = evaluate(model(6), model(5), baseline="none")
    assert result["notes"] == [note]
    evaluation = evaluations.read_evaluation(str(out / "evaluation"))
    assert note in page.render(dataclasses.replace(report_data(2), evaluation=evaluation))
    assert evaluate(model(7), baseline="none")[0]["notes"] == []  # there is nothing to compare with


def damage_shard(data_inputs):
    """Cuts the shard of features in half."""
    [shard] = pathlib.Path(Manifest.load(data_inputs["features"][0].uri).directory).glob("*.tfrecord")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def test_what_is_wrong_with_the_data_fails_the_step_and_rejects_no_baseline(evaluate, model, data_inputs, monkeypatch):
    caption = captioning.caption_split

    def damaged_before_the_baseline(model_dir, manifest, images):
        if "model 5" in model_dir:
            damage_shard(data_inputs)
        return caption(model_dir, manifest, images)

    monkeypatch.setattr(captioning, "caption_split", damaged_before_the_baseline)
    with pytest.raises(CorruptShardError, match="run again"):
        evaluate(model(6), model(5))


@pytest.mark.parametrize("error", [OSError("METEOR is gone"), ValueError("no metric")])
def test_an_error_while_the_baseline_is_scored_fails_the_step(evaluate, model, monkeypatch, error):
    add = Evaluation.add

    def fail(evaluation, name, captions):
        if name == "baseline":
            raise error
        add(evaluation, name, captions)

    monkeypatch.setattr(Evaluation, "add", fail)
    with pytest.raises(type(error), match=str(error)):
        evaluate(model(6), model(5))


def test_a_changed_image_fails_the_step_where_files_are_captioned(evaluate, model, tmp_path):
    (tmp_path / "data" / "b.jpg").write_text("another image")
    with pytest.raises(ImageChangedError, match=r"b\.jpg has changed since it was ingested; run again"):
        evaluate(model(6), model(5, CAPTIONS, "another fingerprint"))


def test_a_baseline_that_does_not_decode_an_image_is_no_empty_caption(evaluate, model):
    refusing = model(5, {**CAPTIONS, "b.jpg": ""}, "another fingerprint")
    result, _, _ = evaluate(model(6), refusing)
    assert result["decision"] == "rejected" and result["baseline_metrics"] is None
    assert "RefusedImagesError: the model does not decode 1 of 2 images: b.jpg" in result["reasons"][1]


@pytest.mark.parametrize(
    ("error", "unread"),
    [(tf.errors.UnknownError(None, None, "Input/output error"), ["baseline"]), (ValueError("another version"), [])],
)
def test_a_rejection_by_a_baseline_that_could_not_be_read_is_not_used_again(
    evaluate, model, monkeypatch, fake_mlmd, mlmd_handle, error, unread
):
    caption = captioning.caption_split

    def fail(model_dir, manifest, images):
        if "model 5" in model_dir:
            raise error
        return caption(model_dir, manifest, images)

    monkeypatch.setattr(captioning, "caption_split", fail)  # no disk fails on demand
    candidate = model(6)
    result, _, _ = evaluate(candidate, model(5))
    assert (result["decision"], result["incomplete"]) == ("rejected", unread)
    incomplete = evaluate.evaluation.get_string_custom_property(records.INCOMPLETE)
    assert incomplete == (json.dumps(unread) if unread else "")

    def observe() -> int:
        info = data_types.ExecutionInfo(input_dict={"model": [candidate]}, exec_properties={})
        return Driver(mlmd_handle).run(info).exec_properties[records.INCOMPLETE].int_value

    before = observe()
    published = {records.INCOMPLETE: incomplete} if incomplete else {}
    fake_mlmd.artifact("ModelEvaluation", candidate_id=candidate.id, **published)
    assert (observe() != before) == bool(unread)  # the cache key of the next run


def test_a_baseline_that_changes_meanwhile_fails_the_step(evaluate, model):
    baseline = model(5)
    before = hash_of_files(baseline.uri)
    assert evaluate(model(6), baseline, observed={BASELINE_FILES: before})[0]["decision"] == "blessed"
    (pathlib.Path(baseline.uri) / "more").write_text("a file")
    with pytest.raises(ChangedDuringStepError, match=r"the last blessed model .* has changed since this step began"):
        evaluate(model(7), baseline, observed={BASELINE_FILES: before})


def test_files_of_a_metric_that_change_meanwhile_fail_the_step(evaluate, model):
    assert evaluate(model(6), observed={METRIC_FILES: ""})[0]["decision"] == "blessed"
    with pytest.raises(ChangedDuringStepError, match=r"evaluator\.clip_dir or spice_dir has changed since this step"):
        evaluate(model(7), observed={METRIC_FILES: "hash of other files"})


def test_a_baseline_of_equal_size_and_other_content_is_observed(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\0\0\0\0")
    before = hash_of_files(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"good")
    assert hash_of_files(str(tmp_path)) != before
    (tmp_path / "loop").symlink_to(tmp_path / "loop")  # neither there nor missing
    assert hash_of_files(str(tmp_path)) == hash_of_files(str(tmp_path))


def test_copies_of_an_image_count_once_where_they_are_merged(tmp_path):
    captions = {"a.jpg": ["one", "two"], "b.jpg": ["three"], "c.jpg": ["two", "four"]}
    write_split(tmp_path, "test", captions, contents={"c.jpg": "a.jpg"})
    files = [str(path) for path in (tmp_path / "Split-test").iterdir()]
    every = test_set.read(files, "/data", merge_copies=False)
    assert (every.image_ids, every.num_copies) == (["a.jpg", "b.jpg", "c.jpg"], 0)
    merged = test_set.read(files, "/data", merge_copies=True)
    assert (merged.image_ids, merged.num_copies) == (["a.jpg", "b.jpg"], 1)
    assert merged.paths == ["/data/a.jpg", "/data/b.jpg"]
    assert merged.references == [["one", "two", "four"], ["three"]]
    assert merged.fingerprint == test_set.read(files, "/moved", merge_copies=True).fingerprint != every.fingerprint


@pytest.mark.parametrize(("splits_from", "num_images"), [(records.OFFICIAL, 3), (records.HASHED, 2)])
def test_copies_in_an_official_test_split_count_each(evaluate, model, data_inputs, splits_from, num_images):
    [examples] = data_inputs["examples"]
    examples.set_string_custom_property(records.SPLITS_FROM, splits_from)
    captions = {**TEST_IMAGES, "other.jpg": ["a dog in the snow"]}
    write_split(pathlib.Path(examples.uri), "test", captions, contents={"other.jpg": "a.jpg"})
    assert evaluate(model(6))[0]["num_images"] == num_images


def test_copies_in_the_test_split_are_noted(evaluate, model, data_inputs):
    [examples] = data_inputs["examples"]
    examples.set_string_custom_property(records.SPLITS_FROM, records.HASHED)
    captions = {**TEST_IMAGES, "other.jpg": ["a dog in the snow"]}
    write_split(pathlib.Path(examples.uri), "test", captions, contents={"other.jpg": "a.jpg"})
    result, _, out = evaluate(model(6))
    assert (result["num_images"], result["notes"]) == (2, ["1 test images duplicate others; each group counts once"])
    assert len(json.loads((out / "predictions" / "predictions.json").read_text())) == 2
