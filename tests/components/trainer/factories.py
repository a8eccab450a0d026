"""Small models and settings for the trainer's tests."""

import dataclasses

from components.shared.models import registry
from components.shared.models.settings import GRUSettings, TransformerSettings
from components.shared.models.transformer import CaptionTransformer
from components.trainer.settings import OptimizerSettings, TrainerSettings

TRANSFORMER = TransformerSettings(
    num_encoder_layers=1, num_decoder_layers=1, d_model=16, num_heads=2, ffn_dim=32, dropout=0.0
)
GRU = GRUSettings(d_model=16, units=32, dropout=0.0)
SETTINGS = TrainerSettings(
    model=TRANSFORMER,
    epochs=3,
    batch_size=3,
    optimizer=OptimizerSettings(warmup_steps=10),
    checkpoint_every_minutes=0,
    compute_dtype="float32",
)


class CountingTransformer(CaptionTransformer):
    """A transformer with a weight that is not trained, as batch normalization has: the number of training steps."""

    def __init__(self, settings, inputs):
        super().__init__(settings, inputs)
        self.num_steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="num_steps")

    def call(self, batch, training=False):
        if training:
            self.num_steps.assign_add(1.0)
        return super().call(batch, training=training)


COUNTING = registry.ModelEntry(TransformerSettings, f"{__name__}:CountingTransformer")  # instead of "transformer"


def trainer_settings(**changes) -> TrainerSettings:
    """Returns the settings of a small training; `model` and `optimizer` are replaced as a whole."""
    return dataclasses.replace(SETTINGS, **changes)
