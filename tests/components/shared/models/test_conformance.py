"""Every registered model, and a new one, passes the same checks."""

import pytest

from components.shared.models import registry
from tests.components.shared.models import conformance
from tests.components.shared.models.toy import ToyCaptioner, ToySettings


@pytest.fixture
def toy(monkeypatch) -> ToySettings:
    """A model that is added to the registry by one line."""
    entry = registry.ModelEntry(ToySettings, "tests.components.shared.models.toy:ToyCaptioner")
    monkeypatch.setitem(registry.MODELS, "toy", entry)
    return ToySettings()


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.MODELS)
def test_a_registered_model_conforms(name, check, tmp_path):
    check(conformance.small_settings(name), tmp_path)


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_a_new_model_conforms_once_it_is_registered(toy, check, tmp_path):
    check(toy, tmp_path)


def test_a_new_model_is_chosen_by_its_name(toy):
    assert registry.parse_settings("toy") == toy
    assert registry.parse_settings({"name": "toy", "width": 4}) == ToySettings(width=4)
    assert registry.model_class("toy") is ToyCaptioner


def test_an_unknown_model_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no model 'rnn'; the models are transformer, gru"):
        registry.parse_settings("rnn")
