"""What an export is made of, in small."""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from components.shared import records
from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import TransformerSettings
from tests.components.trainer.store import CHANNELS, GRID

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "runs"]
INPUTS = ModelInputs(vocabulary_size=len(WORDS), grid=GRID, channels=CHANNELS, max_length=6, compute_dtype="float32")
SETTINGS = TransformerSettings(
    num_encoder_layers=1, num_decoder_layers=1, d_model=16, num_heads=2, ffn_dim=32, dropout=0.0
)


def make_model(settings: Any = SETTINGS) -> Any:
    """A model that captions different images differently."""
    keras.utils.set_random_seed(3)
    model = weights.build(settings, INPUTS)
    model.set_weights([3 * weight for weight in model.get_weights()])
    return model


def write_vocabulary(transform_graph: pathlib.Path, words: Sequence[str] = WORDS) -> pathlib.Path:
    """The vocabulary where a transform graph has it; returns its path."""
    path = transform_graph / "transform_fn" / "assets" / records.VOCABULARY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(words) + "\n")
    return path
