"""RefCLIPScore, with a tiny CLIP of random weights."""

import hashlib
import json
import pathlib
import shutil
import sys

import keras
import keras_hub
import numpy as np
import pytest
from PIL import Image

from components.bleu_evaluator import clip_score
from components.bleu_evaluator.clip_score import PROMPT, Clip
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.test_set import TestSet
from components.shared import scenes
from components.shared.evaluations import BASELINE, CANDIDATE
from components.shared.images.ingested import ImageChangedError, IngestedImage
from components.shared.words import Tokenization

SIDE, NUM_IMAGES = 16, 3
CAPTIONS = ["A dog runs!", "two cats sleep", "a bird"]
REFERENCES = [["a dog", "The dog runs."], ["cats"], ["a bird", "one bird flies", "zebras"]]


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> str:
    keras.utils.set_random_seed(3)
    letters = "abcdefghijklmnopqrstuvwxyz!."
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters), "qz"]
    size = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32}
    vision = keras_hub.models.CLIPVisionEncoder(patch_size=8, image_shape=(SIDE, SIDE, 3), **size)
    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=len(tokens), embedding_dim=16, max_sequence_length=77, **size
    )
    backbone = keras_hub.models.CLIPBackbone(vision, text, projection_dim=8)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = keras_hub.models.CLIPTokenizer(vocabulary=vocabulary, merges=["q z"])
    converter = keras_hub.layers.CLIPImageConverter(image_size=(SIDE, SIDE), scale=[1 / 99] * 3, offset=[-1.0] * 3)
    directory = str(tmp_path_factory.mktemp("presets") / "clip")
    backbone.save_to_preset(directory)
    keras_hub.models.CLIPPreprocessor(tokenizer, image_converter=converter).save_to_preset(directory)
    return directory


@pytest.fixture(scope="module")
def loaded(preset) -> Clip:
    return Clip(preset)  # which traces its tokenizer when it is first called: seconds


@pytest.fixture
def clip(loaded) -> Clip:
    loaded._known.clear()
    return loaded


@pytest.fixture
def images(tmp_path) -> list[IngestedImage]:
    """Square drawings of the size that the model takes."""
    paths = [tmp_path / f"{number}.png" for number in range(NUM_IMAGES)]
    for number, path in enumerate(paths):
        scenes.draw(1, number).resize((SIDE, SIDE)).save(path)
    return [IngestedImage(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]


def pixels_of(image: IngestedImage) -> np.ndarray:
    return np.asarray(Image.open(image.path).convert("RGB"), np.float32) / 99 - 1


def cosines(clip: Clip, images: list[IngestedImage], texts: list[str]) -> np.ndarray:
    """The model's own similarity of images and texts, [images, texts], without its temperature."""
    ids = [[0, *np.asarray(clip._preprocessor.tokenizer((PROMPT + text).lower())), 1] for text in texts]
    token_ids = np.array([row + [0] * (77 - len(row)) for row in ids])
    pixels = np.stack([pixels_of(image) for image in images])
    outputs = clip._backbone({"images": pixels, "token_ids": token_ids}, training=False)
    return np.asarray(outputs["vision_logits"]) / np.exp(clip._backbone.clip_head.logit_scale.numpy())


@pytest.mark.slow
def test_the_score_is_the_formula_of_its_paper(clip, images):
    scores = clip.scores(CAPTIONS, REFERENCES, images)
    to_image = 2.5 * np.maximum(np.diag(cosines(clip, images, CAPTIONS)), 0)
    said = clip._texts(CAPTIONS)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1.0)
    closest = [max(clip._texts(texts) @ caption) for texts, caption in zip(REFERENCES, said, strict=True)]
    assert (to_image > 0).any() and len({*closest, 1.0}) == 4
    expected = [2 * a * b / (a + b) if a > 0 < b else 0.0 for a, b in zip(to_image, closest, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_caption_that_is_a_reference_depends_on_the_image_alone(clip, images):
    scores = clip.scores(CAPTIONS, [[text, "zebras"] for text in CAPTIONS], images)
    to_image = 2.5 * np.maximum(np.diag(cosines(clip, images, CAPTIONS)), 0)
    np.testing.assert_allclose(scores, 2 * to_image / (1 + to_image), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_images_and_references_are_embedded_once_for_all_models(preset, clip, images, monkeypatch):
    monkeypatch.setattr(clip_score, "BATCH_SIZE", 2)  # the last batch is smaller
    monkeypatch.setattr(clip_score, "Clip", lambda directory: {preset: clip}[directory])
    names = [f"{number}.png" for number in range(NUM_IMAGES)]
    examples = [{"image_uri": [image.path], "sha256": [image.sha256]} for image in images]
    test_set = TestSet(names, [image.path for image in images], REFERENCES, examples)
    settings = BleuEvaluatorSettings(clip_dir=preset, meteor=False, ptb=False, num_bootstrap_samples=20, slices=())
    evaluation = Evaluation(test_set, frozenset(), settings, Tokenization())
    evaluation.add(CANDIDATE, dict(zip(names, CAPTIONS, strict=True)))
    for image in images:
        pathlib.Path(image.path).unlink()
    evaluation.add(BASELINE, dict.fromkeys(names, "zebras"))
    metrics = evaluation.metrics()
    assert evaluation.metrics_info()["ref_clip_score"] == {
        "label": "RefCLIPScore", "higher_is_better": True, "decimals": 3,
    }  # fmt: skip
    per_image = [row["models"]["candidate"]["ref_clip_score"] for row in evaluation.images()]
    assert metrics[CANDIDATE]["ref_clip_score"]["value"] == pytest.approx(np.mean(per_image), abs=1e-4)
    assert "p" in evaluation.improvements(CANDIDATE, BASELINE)["ref_clip_score"]


@pytest.mark.slow
def test_an_image_that_has_changed_is_an_error_of_the_data(clip, images):
    pathlib.Path(images[1].path).write_bytes(b"other")
    with pytest.raises(ImageChangedError):
        clip.scores(CAPTIONS, REFERENCES, images)


@pytest.mark.slow
def test_a_long_caption_is_cut_to_what_the_model_takes(clip, images):
    scores = clip.scores(["a dog " * 60] * NUM_IMAGES, REFERENCES, images)
    assert scores.shape == (NUM_IMAGES,) and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda path: (path / "tokenizer.json").unlink(), r"clip has no tokenizer\.json; save the preset"),
        (lambda path: (path / "config.json").write_text("{}"), r"config\.json is not that of a KerasHub preset"),
        (lambda path: (path / "tokenizer.json").write_text('{"class_name": "Popen"}'), r"tokenizer\.json is not that"),
        (lambda path: rename_class(path / "config.json"), "holds a ViTBackbone, not a CLIPBackbone; choose another"),
    ],
)
def test_a_directory_without_the_preset_of_a_clip_is_refused(preset, tmp_path, edit, message):
    copy = pathlib.Path(shutil.copytree(preset, tmp_path / "clip"))
    edit(copy)
    with pytest.raises(ValueError, match=rf"^evaluator\.clip_dir: {copy}.*{message}|{message}"):
        clip_score.check(str(copy))


def rename_class(path: pathlib.Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_name": "ViTBackbone"}))


def test_weights_that_are_damaged_are_refused(preset, tmp_path):
    copy = pathlib.Path(shutil.copytree(preset, tmp_path / "clip"))
    (copy / "model.weights.h5").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match=rf"^evaluator\.clip_dir: {copy} can't be loaded: "):
        Clip(str(copy))


def test_what_is_missing_is_named(preset, monkeypatch):
    with pytest.raises(ValueError, match=r"evaluator\.clip_dir: RefCLIPScore needs the preset of a CLIP"):
        clip_score.check(None)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match=r"evaluator\.clip_dir: .*clip is a KerasHub preset, which needs the extra"):
        clip_score.check(preset)
