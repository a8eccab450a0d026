import pytest
import tensorflow as tf

from pipeline.captioning import NoModel, caption, find_model, load
from tests.material import encode


@pytest.fixture
def serving(tmp_path):
    """Two versions of a model that tells how large a file is."""
    for version in ("9", "10"):
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
        def serve(image_bytes, version=version):
            sizes = tf.strings.as_string(tf.strings.length(image_bytes))
            return {"caption": tf.strings.join([f"version {version} sees ", sizes])}

        tf.saved_model.save(module, str(tmp_path / version), signatures={"serving_default": serve})
    (tmp_path / ".11.partial").mkdir()
    return tmp_path


def test_the_newest_version_is_taken(serving):
    assert find_model(str(serving)) == str(serving / "10")
    assert find_model(str(serving / "9")) == str(serving / "9")


def test_no_model_is_said(tmp_path):
    with pytest.raises(NoModel, match="no SavedModel there"):
        find_model(str(tmp_path))
    with pytest.raises(NoModel, match="no SavedModel there"):
        load(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(NoModel, match="no serving_default from image_bytes to caption"):
        load(str(tmp_path / "other"))
    module = tf.Module()
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "third"), signatures=module.serve)
    with pytest.raises(NoModel, match="no serving_default from image_bytes to caption"):
        load(str(tmp_path / "third"))


def test_what_is_no_picture_is_said_and_the_others_are_captioned(serving, tmp_path, picture):
    (tmp_path / "a.jpg").write_bytes(encode(picture))
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "b.png").write_bytes(encode(picture, "PNG"))
    files = [str(tmp_path / name) for name in ("a.jpg", "text.jpg", "gone.jpg", "b.png")]
    answers = list(caption(load(str(serving)), files))
    assert [file for file, *_ in answers] == files
    assert answers[0][1] == f"version 10 sees {len(encode(picture))}"
    assert answers[1][1] is None and "undecodable" in answers[1][2]
    assert answers[2][1:] == (None, "No such file or directory")
    assert answers[3][1].startswith("version 10 sees ")
