import pydantic
import pytest
from pydantic.dataclasses import dataclass

from components.shared.models import registry
from components.trainer.settings import OptimizerSettings, TrainerSettings


@dataclass(frozen=True)
class WidthlessSettings:
    """Settings of a model without d_model."""

    name: str = "widthless"


@pytest.mark.parametrize("place", ["model", "comparison_models"])
def test_a_model_without_d_model_needs_a_peak_learning_rate(monkeypatch, place):
    monkeypatch.setitem(registry.MODELS, "widthless", registry.ModelEntry(WidthlessSettings, "no.module:Model"))
    values = {place: "widthless" if place == "model" else ["widthless"]}
    with pytest.raises(pydantic.ValidationError, match=r"optimizer.peak_learning_rate must be set.* widthless"):
        TrainerSettings(**values)
    for optimizer in (OptimizerSettings(peak_learning_rate=0.001), OptimizerSettings(lr_schedule="cosine")):
        assert TrainerSettings(optimizer=optimizer, **values).optimizer == optimizer
