import pathlib

import pytest
import tensorflow as tf

from components.shared import node_cache, storage
from pipeline.captioning import ModelNotFound, caption, find_model, load
from tests.containers import hf_image, write_parquet, write_tar
from tests.factories import encode


@pytest.fixture
def serving(tmp_path):
    """Two versions of a model whose caption is the size of the file."""
    for version in ("9", "10"):
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
        def serve(image_bytes, version=version):
            sizes = tf.strings.as_string(tf.strings.length(image_bytes))
            return {"caption": tf.strings.join([f"version {version} sees ", sizes])}

        tf.saved_model.save(module, str(tmp_path / version), signatures={"serving_default": serve})
    (tmp_path / ".11.partial").mkdir()
    return tmp_path


def test_the_newest_version_is_found(serving):
    assert find_model(str(serving)) == str(serving / "10")
    assert find_model(str(serving / "9")) == str(serving / "9")


def test_a_model_and_images_in_a_bucket_are_captioned(serving, bucket, image):
    storage.copy_tree(str(serving), f"{bucket}/serving")
    storage.write_text(f"{bucket}/serving/11/variables/half", "of a push in progress")
    storage.write_bytes(f"{bucket}/a.jpg", encode(image))
    files = [f"{bucket}/a.jpg", f"{bucket}/none.jpg"]
    for place in ("serving", "serving/10"):
        first, second = caption(load(f"{bucket}/{place}"), files)
        assert first == (files[0], f"version 10 sees {len(encode(image))}", "")
        assert second == (files[1], None, "No such object or bucket")
    [copy] = pathlib.Path(node_cache.directory()).glob("entries/*/10/saved_model.pb")
    copy.write_bytes(bytes(copy.stat().st_size))  # the node's copy is damaged
    assert next(caption(load(f"{bucket}/serving"), files))[1] == f"version 10 sees {len(encode(image))}"


def test_a_directory_without_a_captioning_model_is_refused(tmp_path):
    with pytest.raises(ModelNotFound, match="neither a SavedModel nor"):
        find_model(str(tmp_path))
    with pytest.raises(ModelNotFound, match="neither a SavedModel nor"):
        load(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(ModelNotFound, match="no signature serving_default from image_bytes to caption"):
        load(str(tmp_path / "other"))
    module = tf.Module()
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "third"), signatures=module.serve)
    with pytest.raises(ModelNotFound, match="no signature serving_default from image_bytes to caption"):
        load(str(tmp_path / "third"))


def test_a_file_that_is_no_image_is_reported_and_the_others_are_captioned(serving, tmp_path, image):
    (tmp_path / "a.jpg").write_bytes(encode(image))
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "b.png").write_bytes(encode(image, "PNG"))
    files = [str(tmp_path / name) for name in ("a.jpg", "text.jpg", "gone.jpg", "b.png")]
    results = list(caption(load(str(serving)), files))
    assert [file for file, *_ in results] == files
    assert results[0][1] == f"version 10 sees {len(encode(image))}"
    assert results[1][1] is None and "undecodable" in results[1][2]
    assert results[2][1:] == (None, "No such file or directory")
    assert results[3][1].startswith("version 10 sees ")


def test_an_image_in_a_container_is_captioned_by_its_uri(serving, tmp_path, image):
    tar = write_tar(tmp_path / "0.tar", [("a.jpg", encode(image))])
    parquet = write_parquet(tmp_path / "0.parquet", {"image": [hf_image(encode(image))], "caption": ["a dog"]})
    results = list(caption(load(str(serving)), [f"{tar}/a.jpg", f"{parquet}/0", f"{tar}/b.jpg"]))
    assert [text for _, text, _ in results[:2]] == [f"version 10 sees {len(encode(image))}"] * 2
    assert results[2][1:] == (None, f"{tar} has no image b.jpg")


def test_an_image_that_the_model_refuses_has_no_caption(tmp_path, image):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve(image_bytes):
        ok = tf.strings.length(image_bytes) < 2000
        return {"caption": tf.where(ok, "a dog", ""), "ok": ok}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": serve})
    (tmp_path / "small.png").write_bytes(encode(image.resize((8, 8)), "PNG"))
    (tmp_path / "large.png").write_bytes(encode(image.resize((8, 8)), "PNG") + bytes(2000))
    files = [str(tmp_path / name) for name in ("small.png", "large.png")]
    results = list(caption(load(str(tmp_path / "model")), files))
    assert [result[1:] for result in results] == [("a dog", ""), (None, "the model does not decode it")]
