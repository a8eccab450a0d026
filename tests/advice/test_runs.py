"""What errors about runs, parts of runs and models to caption with advise, done."""

import os
import pathlib

import pytest
import tensorflow as tf
from ml_metadata import MetadataStore

from components.shared.step import check_unchanged
from pipeline import captioning
from pipeline.cli.main import main
from pipeline.runner import compile_pipeline
from tests.fake_mlmd import FakeMlmd, sqlite_connection
from tests.messages import filled_in, refusal
from tests.pipeline.test_runner import complete, pipeline_of


def is_skipped(ir, step: str) -> bool:
    [node] = [node.pipeline_node for node in ir.nodes if node.pipeline_node.node_info.id == step]
    return node.execution_options.HasField("skip")


def test_each_of_the_steps_that_are_named_can_end_a_run(tmp_path):
    pipeline = pipeline_of(tmp_path)
    with refusal("… …: no such step; the steps are …") as advice:
        compile_pipeline(pipeline, "new", to_node="trainer")
    assert advice[0].split(" ")[0] == "--to"
    for step in advice[-1].split(", "):
        assert not is_skipped(compile_pipeline(pipeline, "new", to_node=step), step)


def test_a_part_is_run_after_a_run_without_from_and_in_the_order_of_the_steps(tmp_path):
    pipeline = pipeline_of(tmp_path)
    history = FakeMlmd(MetadataStore(sqlite_connection(tmp_path)))
    with refusal("--from …: no earlier run has completed …; run without --from first") as advice:
        compile_pipeline(pipeline, "new", from_node="Trainer", to_node="Exporter")
    assert "CaptionIngest" in advice[1].split(", ")
    complete(history, compile_pipeline(pipeline, "first"), "first")
    with refusal("--from … --to …: no step lies between them") as advice:
        compile_pipeline(pipeline, "new", from_node="Exporter", to_node="Trainer")
    to_node, from_node = advice
    ir = compile_pipeline(pipeline, "new", from_node=from_node, to_node=to_node)
    assert not is_skipped(ir, "Trainer") and is_skipped(ir, "CaptionIngest")


class Captioner(tf.Module):
    """A model with the signature of those that the pipeline exports."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def caption(self, image_bytes):
        return {"caption": tf.fill(tf.shape(image_bytes), "a dog")}


def save(directory: pathlib.Path) -> None:
    model = Captioner()
    tf.saved_model.save(model, str(directory), signatures={"serving_default": model.caption})


def test_a_directory_of_versions_of_this_pipelines_models_captions(tmp_path):
    serving = tmp_path / "root" / "serving"
    save(serving / "1")
    with refusal("--model …: neither a SavedModel nor a directory with numbered versions of one"):
        captioning.load(str(tmp_path / "root"))
    for directory in (serving, serving / "1"):
        assert captioning.load(str(directory))(image_bytes=tf.constant(["x"]))["caption"].numpy() == [b"a dog"]
    tf.saved_model.save(tf.Module(), str(serving / "2"))
    with refusal("--model …: no signature serving_default from image_bytes to caption"):
        captioning.load(str(serving))
    (serving / "3").mkdir()
    (serving / "3" / "saved_model.pb").write_bytes(b"damaged")
    with refusal("--model …: …"):
        captioning.load(str(serving))
    assert captioning.load(str(serving / "1"))


def test_a_directory_that_is_renamed_can_be_written_to(tmp_path, capsys):
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    arguments = ["sample", str(directory), "--set", "data.sample.num_images=1"]
    assert main(arguments) == 2
    filled_in("the name … is not UTF-8: rename it, or set LC_ALL=C.UTF-8 if it is", capsys.readouterr().err)
    arguments[1] = str(directory.with_name("café"))
    assert main(arguments) == 0


@pytest.mark.parametrize("observed", ["now", None])
def test_the_driver_of_the_next_run_observes_what_the_executor_finds(observed):
    with refusal("… has changed since this step began; run again"):
        check_unchanged("the data", "before", "now")
    check_unchanged("the data", observed, "now")
