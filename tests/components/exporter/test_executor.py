import json
import pathlib

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.exporter.executor import Executor
from components.exporter.settings import DecodingSettings
from components.shared import artifact_types, records
from components.shared.features import Manifest
from components.shared.models import decoding, description, registry, weights
from components.shared.models.description import ModelFileError
from components.shared.models.settings import GRUSettings
from components.shared.settings import to_property
from components.shared.words import Tokenization
from tests.components.exporter.factories import SETTINGS, WORDS, make_model, write_vocabulary
from tests.components.shared.models.toy import ToyCaptioner, ToySettings
from tests.components.trainer.store import CHANNELS, GRID, write_backbone

FEATURES = tf.cast(tf.random.stateless_normal((3, 4, CHANNELS), seed=(0, 1)), tf.float16)


class UnexportableCaptioner(ToyCaptioner):
    """A model whose attention cannot be computed in a graph."""

    def attention(self, tokens, encoder_state):
        return tokens.numpy()


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """A model that is not among the registered ones."""
    path = "tests.components.shared.models.toy:ToyCaptioner"
    monkeypatch.setitem(registry.MODELS, "toy", registry.ModelEntry(ToySettings, path))


class Export:
    """An export with its inputs and its output on disk."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.weights = self._artifact(artifact_types.Weights, "weights")
        self.features = self._artifact(artifact_types.Features, "features")
        self.transform_graph = self._artifact(standard_artifacts.TransformGraph, "transform_graph")
        self.model = self._artifact(standard_artifacts.Model, "model")
        self.serving = directory / "model" / "Format-Serving"
        write_backbone(self._made("store"))
        Manifest("fingerprint", str(directory / "store"), GRID, CHANNELS, {}).save(self.features.uri)
        write_vocabulary(directory / "transform_graph")
        self.weights.set_string_custom_property(records.MODEL_LABEL, "first")

    def _made(self, name: str) -> pathlib.Path:
        (self.directory / name).mkdir()
        return self.directory / name

    def _artifact(self, kind: type[Artifact], name: str) -> Artifact:
        artifact = kind()
        artifact.uri = str(self._made(name))
        return artifact

    def run(self, settings: DecodingSettings, unit: str = "auto") -> None:
        inputs = {"weights": self.weights, "features": self.features, "transform_graph": self.transform_graph}
        Executor().Do(
            {key: [artifact] for key, artifact in inputs.items()},
            {"model": [self.model]},
            {
                "settings": to_property(settings, DecodingSettings),
                "code": "0",
                "tokenization": to_property(Tokenization(unit), Tokenization),
            },
        )


@pytest.fixture
def export(tmp_path) -> Export:
    return Export(tmp_path)


@pytest.mark.parametrize("settings", [SETTINGS, GRUSettings(d_model=8, units=6), ToySettings()], ids=lambda s: s.name)
def test_the_exported_model_decodes_as_the_trained_one(export, settings):
    model, decoding_settings = make_model(settings), DecodingSettings(beam_size=2, min_length=2, max_length=3)
    weights.save(model, export.weights.uri, "first", "fingerprint")
    export.run(decoding_settings)
    loaded = tf.saved_model.load(str(export.serving))
    ids, _ = decoding.decode(model, tf.cast(FEATURES, tf.float32), decoding_settings)
    expected = [" ".join(WORDS[token] for token in row if token > records.END_ID) for row in ids.numpy()]
    outputs = loaded.signatures["attention_from_features"](features=FEATURES)
    captions = [caption.decode() for caption in outputs["caption"].numpy()]
    assert captions == expected and all(2 <= len(caption.split()) <= 3 for caption in captions)
    assert outputs["attention"].shape == (3, 4, *GRID)
    assert description.read_exported(str(export.serving)) == weights.describe(export.weights.uri)


@pytest.mark.parametrize(("unit", "separator"), [("auto", ""), ("word", " ")])
def test_captions_of_scripts_without_blanks_are_joined_by_the_tokenizers_unit(export, unit, separator):
    vocabulary = [*WORDS[: len(records.RESERVED_TOKENS)], "狗", "猫", "鸟", "跑"]
    write_vocabulary(export.directory / "transform_graph", vocabulary)
    model, decoding_settings = make_model(ToySettings()), DecodingSettings(beam_size=1, min_length=2)
    weights.save(model, export.weights.uri, "first", "fingerprint")
    export.run(decoding_settings, unit)
    ids, _ = decoding.decode(model, tf.cast(FEATURES, tf.float32), decoding_settings)
    expected = [[vocabulary[token] for token in row if token > records.END_ID] for row in ids.numpy()]
    loaded = tf.saved_model.load(str(export.serving))
    outputs = loaded.signatures["attention_from_features"](features=FEATURES)
    assert [caption.decode() for caption in outputs["caption"].numpy()] == [separator.join(words) for words in expected]
    assert [[word.decode() for word in row if word] for row in outputs["words"].numpy()] == expected


def test_the_model_keeps_its_label_and_its_decoding_settings(export):
    weights.save(make_model(ToySettings()), export.weights.uri, "first", "fingerprint")
    export.run(DecodingSettings(beam_size=1))
    assert export.model.get_string_custom_property(records.MODEL_LABEL) == "first"
    values = json.loads((export.serving / "assets.extra" / "captioner.json").read_text())
    assert values["decoding"]["beam_size"] == 1


def test_damaged_weights_export_nothing(export):
    weights.save(make_model(ToySettings()), export.weights.uri, "first", "fingerprint")
    path = pathlib.Path(export.weights.uri) / weights.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="is damaged"):
        export.run(DecodingSettings())
    assert not export.serving.exists()


def test_a_failed_export_leaves_nothing(export, monkeypatch):
    monkeypatch.setitem(registry.MODELS, "toy", registry.ModelEntry(ToySettings, f"{__name__}:UnexportableCaptioner"))
    weights.save(make_model(ToySettings()), export.weights.uri, "first", "fingerprint")
    with pytest.raises(AttributeError):
        export.run(DecodingSettings(beam_size=1))
    assert not export.serving.exists()
