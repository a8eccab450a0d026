"""The recipes of docs/extending.md, executed as they stand there."""

import re
import sys
import types

import pytest

from components.bleu_evaluator.measurement import measure
from components.bleu_evaluator.metrics import METRICS
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.caption_ingest.formats import FORMATS
from components.caption_ingest.layout import find_layout
from components.caption_ingest.rejects import Reason
from components.feature_extractor.backbones import registry as sources
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.models import registry
from components.shared.models.registry import ModelEntry
from components.shared.words import Tokenization
from pipeline.cli import main
from pipeline.config_files import load
from tests.components.shared.models import conformance
from tests.factories import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()


def module_of(section: str, monkeypatch) -> types.ModuleType:
    """A module with the code blocks of a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    module = types.ModuleType(f"recipe_{section.replace(' ', '_').lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, module.__dict__)
    return module


def test_a_caption_format(monkeypatch, tmp_path):
    recipe = module_of("A caption format", monkeypatch)
    monkeypatch.setitem(FORMATS, "arrows", recipe.Arrows())
    (tmp_path / "captions.txt").write_text("a.jpg -> A dog runs .\nb.jpg A cat .\n")
    layout = find_layout(str(tmp_path))
    assert layout.format.name == "arrows"
    caption, reject = layout.format.read(layout.captions[0].source)
    assert (caption.image_id, caption.text, caption.line) == ("a.jpg", "A dog runs .", 1)
    assert (reject.reason, reject.line) == (Reason.BAD_LINE, 2)


def test_a_metric(monkeypatch):
    recipe = module_of("A metric", monkeypatch)
    monkeypatch.setitem(METRICS, recipe.METRIC.name, recipe.METRIC)
    measurement = measure(["a red dog", "a cat"], [["a dog runs"], ["a cat"]], Tokenization())
    assert measurement.scalars()["unknown_words"] == pytest.approx(1 / 6)
    assert BleuEvaluatorSettings(max_regression={"unknown_words": 0.1}).max_regression == {"unknown_words": 0.1}


def test_a_captioning_model(monkeypatch, tmp_path):
    recipe = module_of("A captioning model", monkeypatch)
    entry = ModelEntry(recipe.BigramSettings, f"{recipe.__name__}:Bigram")
    monkeypatch.setitem(registry.MODELS, "bigram", entry)
    assert load(None, ["trainer.model.name=bigram", "trainer.model.d_model=8"]).trainer.model.d_model == 8
    for number, check in enumerate(conformance.CHECKS):
        directory = tmp_path / str(number)
        directory.mkdir()
        check(conformance.small_settings("bigram", d_model=8), directory)


def test_a_backbone_source(monkeypatch):
    recipe = module_of("A backbone source", monkeypatch)
    monkeypatch.setattr(sources, "SOURCES", [*sources.SOURCES, recipe.PooledPixels()])
    settings = FeatureExtractorSettings(backbone="PooledPixels", weights="none")
    source = sources.source_of(settings)
    assert (source.name, source.input_size(settings)) == ("pooled_pixels", 32)
    assert source.build(settings).output_shape == (None, 4, 4, 3)


def test_a_command(monkeypatch, capsys, tmp_path):
    recipe = module_of("A command", monkeypatch)
    commands = {**main.find_commands(), "where": recipe}
    monkeypatch.setattr(main, "find_commands", lambda: commands)
    assert main.main(["where", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/serving\n"
