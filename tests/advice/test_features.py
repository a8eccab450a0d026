"""What errors about backbones and the feature store advise, done."""

import json
import pathlib
import shutil
import sys

import apache_beam as beam
import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from components.feature_extractor import extract
from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.settings import FeatureExtractorSettings as Settings
from components.feature_extractor.store import FeatureStore
from components.shared.backbone_description import BackboneDescription
from components.shared.features import Manifest
from tests.components.feature_extractor.backbones.test_keras_hub_presets import edit, resnet, save, vit
from tests.components.feature_extractor.test_extract import TINY, copy_of, write_images
from tests.messages import refusal


def build(settings: Settings) -> keras.Model:
    return source_of(settings).build(settings)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> pathlib.Path:
    """The directory of a store with nothing but the backbone."""
    directory = tmp_path_factory.mktemp("store")
    FeatureStore(str(directory)).prepare_backbone(TINY)
    return directory


@pytest.fixture(scope="module")
def saved_preset(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("presets") / "vit"
    save(vit(), directory)
    return directory


@pytest.fixture
def preset(saved_preset, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved_preset, tmp_path / "vit"))


def test_a_backbone_of_the_list_can_be_built():
    with refusal("feature_extractor.backbone: unknown backbone …; known backbones: …") as advice:
        source_of(Settings("MobileNett", "random", 32))
    assert "MobileNet" in advice[1]
    assert build(Settings("MobileNet", "random", 32)).output_shape == (None, 1, 1, 1024)


def test_weights_that_can_not_be_downloaded_are_put_where_the_error_says_or_named_or_random(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    real = keras.applications.MobileNet

    def downloading(weights=None, **arguments):
        """A constructor of `keras.applications` without internet."""
        if weights == "imagenet":
            file = tmp_path / "keras" / "models" / "mobilenet.weights.h5"
            if not file.exists():
                raise Exception(f"URL fetch failure on https://host/{file.name}: None -- no network")
            weights = str(file)
        return real(weights=weights, **arguments)

    downloading.__module__ = real.__module__  # where its preprocessing is
    monkeypatch.setattr(keras.applications, "MobileNet", downloading)
    with refusal(
        "the ImageNet weights of … can't be downloaded. Either put the file … at … (or anywhere, and set "
        "feature_extractor.weights to its path); or set feature_extractor.weights to …, which needs no file and is for "
        "trying the pipeline out."
    ) as advice:
        build(Settings("MobileNet", "imagenet", 32))
    backbone, name, place, other = advice
    assert pathlib.Path(place).name == name
    pathlib.Path(place).parent.mkdir(parents=True)
    real(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(place)
    for weights in ("imagenet", place, other):
        assert build(Settings(backbone, weights, 32)).output_shape == (None, 1, 1, 1024)


def test_weights_can_be_downloaded_later(monkeypatch):
    real, silent = keras.applications.MobileNet, iter([True, False])

    def downloading(weights=None, **arguments):
        """A constructor of `keras.applications` whose host falls silent the first time."""
        if next(silent):
            raise TimeoutError("timed out")
        return real(weights=None, **arguments)

    downloading.__module__ = real.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", downloading)
    with refusal("the ImageNet weights of … can't be downloaded: …. Try again later."):
        build(Settings("MobileNet", "imagenet", 32))
    assert build(Settings("MobileNet", "imagenet", 32))


def test_weights_of_another_backbone_fit_theirs(tmp_path):
    path = tmp_path / "narrow.weights.h5"
    with refusal(
        "feature_extractor.weights: … is neither a weights file nor a KerasHub preset; give one of them, or … or …"
    ) as advice:
        build(Settings("MobileNet", str(path), 32))
    assert advice[1:] == ["imagenet", "random"]
    keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    with refusal("feature_extractor.weights: … does not fit …: …"):
        build(Settings("MobileNetV2", advice[0], 32))
    assert build(Settings("MobileNet", advice[0], 32))


def test_the_class_and_the_size_of_a_preset_are_those_that_the_error_names(preset):
    with refusal("feature_extractor.backbone: … holds a …, not a …; set feature_extractor.backbone to …") as advice:
        build(Settings("InceptionV3", str(preset)))
    backbone = advice[3]
    with refusal("feature_extractor.image_size: …, but the preset takes … pixels") as advice:
        build(Settings(backbone, str(preset), 64))
    for size in (int(advice[1]), 0):
        assert build(Settings(backbone, str(preset), size))


def test_a_preset_of_any_size_is_given_one(tmp_path):
    settings = save(resnet(), tmp_path / "resnet")
    edit(tmp_path / "resnet" / "image_converter.json", image_size=None)
    with refusal("… takes images of any size; set feature_extractor.image_size"):
        build(settings)
    assert build(Settings(settings.backbone, settings.weights, 32))


def test_a_preset_is_saved_again_as_the_error_says(preset, tmp_path):
    settings = Settings("ViTBackbone", str(preset))
    (preset / "image_converter.json").unlink()
    with refusal("… has no …; save the preset, including its image converter, with `save_to_preset`"):
        build(settings)
    save(vit(), tmp_path / "again")
    assert build(Settings("ViTBackbone", str(tmp_path / "again")))
    (preset / "config.json").write_text("{}")
    with refusal("… is not that of a KerasHub preset"):
        build(settings)
    shutil.rmtree(preset)
    save(vit(), preset)
    (preset / "model.weights.h5").write_bytes(b"not HDF5")
    with refusal("… can't be loaded: …"):
        build(settings)
    shutil.copy(tmp_path / "again" / "model.weights.h5", preset)
    assert build(settings)


def test_a_preset_that_is_square_is_accepted(preset):
    edit(preset / "config.json", image_shape=[32, 48, 3])
    with refusal("…: its images are …x… pixels; only square ones are supported"):
        build(Settings("ViTBackbone", str(preset)))
    edit(preset / "config.json", image_shape=[32, 32, 3])
    assert build(Settings("ViTBackbone", str(preset)))


def test_keras_hub_is_the_package_of_the_extra_that_is_named(preset, monkeypatch):
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "keras_hub", None)
        with refusal("… is a KerasHub preset, which needs the extra …: pip install 'caption-pipeline[…]'") as advice:
            build(Settings("ViTBackbone", str(preset)))
    assert advice[1] == advice[2] == keras_hub.__name__.replace("_", "-")
    assert build(Settings("ViTBackbone", str(preset)))


def test_without_the_images_that_are_named_the_features_are_computed(exported, tmp_path, monkeypatch):
    store = copy_of(exported, tmp_path / "store")
    images = write_images(tmp_path, range(3))
    step = extract.ExtractShards(store, 2, store.index_files())
    step.setup()
    real, bad = step._backbone, tf.constant(pathlib.Path(images["1.jpg"].path).read_bytes())

    def overflowing(encoded):
        features = real(encoded).numpy()
        features[(encoded == bad).numpy()] = np.inf
        return tf.constant(features)

    monkeypatch.setattr(step, "_backbone", overflowing)
    with refusal(
        "…: the backbone computes features that are not finite; remove these images, or choose another "
        "feature_extractor.backbone or feature_extractor.weights"
    ) as advice:
        step._extract(list(images.values()))
    step._extract([image for image in images.values() if image.path not in advice[0].split(", ")])
    step.teardown()
    assert len(store.index()) == 2


def test_the_next_run_exports_a_backbone_again_whose_description_is_damaged(exported, tmp_path):
    store = copy_of(exported, tmp_path / "store")
    path = pathlib.Path(store.directory, "backbone.json")
    content = json.loads(path.read_text())
    path.unlink()  # a link
    path.write_text(json.dumps(content | {"saved_model": "../elsewhere"}))
    with refusal("… does not describe a backbone: saved_model: …"):
        BackboneDescription.read(store.directory)
    path.write_text(json.dumps(content | {"channels": "many"}))
    with refusal("… does not describe a backbone: …: …"):
        BackboneDescription.read(store.directory)
    (tmp_path / "store" / "shard-1.json").touch()  # features of an earlier run
    store.restore_backbone(TINY)
    assert BackboneDescription.read(store.directory).channels == content["channels"]


def test_the_next_run_computes_features_that_were_deleted_meanwhile(exported, tmp_path):
    store = copy_of(exported, tmp_path / "store")
    images = write_images(tmp_path, [0])
    with refusal("…: the features of … were deleted during this run; run again"):
        extract.shards_of(images, store)
    extract.extract_missing(images, store, 32, beam.Pipeline)
    assert list(extract.shards_of(images, store).values()) == [{"0.jpg": images["0.jpg"].sha256}]


def test_the_next_run_computes_missing_and_corrupt_shards_again(exported, tmp_path):
    store = copy_of(exported, tmp_path / "store")
    images = write_images(tmp_path, [0])

    def run() -> Manifest:
        """What a run of the extractor does, if its generation is not the cached one's."""
        extract.extract_missing(images, store, 32, beam.Pipeline)
        manifest = Manifest("print", store.directory, (1, 1), 1024, extract.shards_of(images, store))
        manifest.save(str(tmp_path / "artifact"))
        return Manifest.load(str(tmp_path / "artifact"))

    run()
    generation = store.generation()
    [shard] = pathlib.Path(store.directory).glob("*.tfrecord")
    shard.unlink()
    with refusal("…: … shards missing (…, …); run again, and if it fails again, delete …") as advice:
        Manifest.load(str(tmp_path / "artifact"))
    assert run().shards
    pathlib.Path(advice[-1]).unlink()  # without it, no cached manifest is reused
    assert store.generation() != generation

    manifest = run()
    [shard] = pathlib.Path(store.directory).glob("*.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-20])
    with (
        refusal(
            "… corrupt shards deleted from the feature store (…, …): run again to compute their features again"
        ) as advice,
        manifest.deleting_corrupt_shards(),
    ):
        list(manifest.read_in_order([images["0.jpg"].sha256]))
    assert advice[1] == str(shard)
    assert len(list(run().read_in_order([images["0.jpg"].sha256]))) == 1
