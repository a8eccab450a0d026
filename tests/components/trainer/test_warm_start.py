import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.export import DESCRIPTION
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.warm_start import make_weights, start_from

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "runs"]
SETTINGS = TransformerSettings(
    vocabulary_size=len(WORDS), grid=(2, 2), channels=3, max_length=5, encoder_layers=1, decoder_layers=1,
    d_model=8, heads=2, feed_forward=8,
)  # fmt: skip


def make(seed, **changes):
    keras.utils.set_random_seed(seed)
    model = CaptionTransformer(dataclasses.replace(SETTINGS, **changes))
    make_weights(model)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported model: (model, its directory)."""
    directory = tmp_path_factory.mktemp("model")
    model = make(0)
    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, str(directory))
    (directory / "assets" / "vocabulary").write_text("\n".join(WORDS) + "\n")
    (directory / "assets.extra").mkdir()
    description = {"model": "CaptionTransformer", "settings": dataclasses.asdict(SETTINGS)}
    (directory / "assets.extra" / DESCRIPTION).write_text(json.dumps(description))
    return model, str(directory)


def test_a_model_of_the_same_words_has_the_same_weights(exported):
    old, directory = exported
    new = make(1, dropout=0.5, max_length=9)
    assert start_from(new, directory, WORDS) == (True, f"starts from {directory}, which knows 7 of 7 words")
    for ours, theirs in zip(new.trainable_variables, old.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_words_are_told_apart_by_their_spelling(exported):
    old, directory = exported
    words = ["<pad>", "<unk>", "<start>", "<end>", "runs", "bird", "dog", "hen"]
    new, random = make(1, vocabulary_size=8), make(1, vocabulary_size=8)
    assert "knows 6 of 8 words" in start_from(new, directory, words)[1]
    table, before, theirs = (np.array(each.embed_words.embeddings) for each in (new, random, old))
    np.testing.assert_array_equal(table[[4, 6]], theirs[[6, 4]])
    np.testing.assert_array_equal(table[[5, 7]], before[[5, 7]])
    scores, before, theirs = (np.array(each.to_logits.kernel) for each in (new, random, old))
    np.testing.assert_array_equal(scores[:, [4, 6]], theirs[:, [6, 4]])
    np.testing.assert_array_equal(scores[:, [5, 7]], before[:, [5, 7]])
    np.testing.assert_array_equal(new.embed_features.kernel, old.embed_features.kernel)


def test_as_many_words_but_others_are_not_mixed_up(exported):
    old, directory = exported
    words = [*WORDS[:4], "cat", "dog", "sits"]
    new = make(1)
    assert "knows 6 of 7 words" in start_from(new, directory, words)[1]
    np.testing.assert_array_equal(new.embed_words.embeddings[4:6], np.array(old.embed_words.embeddings)[[5, 4]])


def test_a_model_of_another_make_starts_from_random_weights(exported):
    directory = exported[1]
    new, random = make(1, d_model=16), make(1, d_model=16)
    taken, told = start_from(new, directory, WORDS)
    assert not taken and "random weights, for the model to start from has d_model 8, not 16" in told
    for ours, theirs in zip(new.variables, random.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("gone", ["", f"assets.extra/{DESCRIPTION}", "assets", "variables"])
def test_a_model_whose_files_are_gone_is_no_start(exported, tmp_path, gone):
    directory = tmp_path / "model"
    shutil.copytree(exported[1], directory)
    path = directory / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    new, random = make(1), make(1)
    taken, told = start_from(new, str(directory), WORDS)
    assert not taken and "random weights, for files of the model to start from are gone" in told
    assert str(directory / gone) in told
    for ours, theirs in zip(new.variables, random.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
