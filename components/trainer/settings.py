"""Settings of Trainer."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.models import registry
from components.shared.models.settings import TransformerSettings
from components.shared.settings import STRICT, Seed

ModelSettings = Annotated[Any, pydantic.BeforeValidator(registry.parse_settings)]


@dataclass(frozen=True, config=STRICT)
class OptimizerSettings:
    """Optimizer and learning rate schedule; the defaults are those of Vaswani et al. 2017, section 5.3."""

    lr_schedule: Literal["inverse_sqrt", "cosine"] = "inverse_sqrt"
    """Learning rate schedule after the warm-up."""
    warmup_steps: PositiveInt = 4000
    """Number of steps over which the learning rate rises linearly to its peak."""
    peak_learning_rate: PositiveFloat | None = None
    """Peak of the learning rate; null: 0.001 with `cosine`, the paper's (d_model · warmup_steps)^-0.5 with
    `inverse_sqrt`."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay of matrices, as in AdamW; embeddings, biases and other vectors do not decay."""
    grad_clip_norm: NonNegativeFloat = 0.0
    """Maximum global norm of the gradient; 0 disables clipping."""


@dataclass(frozen=True, config=STRICT)
class SelfCriticalSettings:
    """Self-critical training after the epochs of cross-entropy: Rennie et al. 2017, arXiv 1612.00563.

    The model captions train images by sampling, and captions with more CIDEr-D than the image's others become likelier.
    """

    epochs: NonNegativeInt = 0
    """Number of passes over the train images; 0 disables self-critical training."""
    num_samples: Annotated[int, Field(ge=2)] = 5
    """Number of captions sampled per image, each with the mean of the others as baseline (Luo 2020, arXiv
    2003.09971)."""
    images_per_step: PositiveInt = 32
    """Number of images per step."""
    learning_rate: PositiveFloat = 5e-5
    """Learning rate of the first step; it falls linearly to 0."""
    bleu_4_weight: NonNegativeFloat = 0.0
    """Weight of smoothed BLEU-4, 0 to 1, in the reward, beside that of CIDEr-D, 0 to 10."""


@dataclass(frozen=True, config=STRICT)
class TrainerSettings:
    """Model and training."""

    model: ModelSettings = TransformerSettings()
    """The model to train and, if blessed, to deploy; `name` selects its type."""
    comparison_models: tuple[ModelSettings, ...] = ()
    """Further models trained on the same data, evaluated beside the first for information only."""
    warm_start: Literal["none", "last_blessed"] = "none"
    """Initial weights: random, or those of the last blessed model."""

    epochs: PositiveInt = 30
    """Number of passes over the train images."""
    batch_size: PositiveInt = 64
    """Number of captions per step."""
    seed: Seed = 0
    """Seed of initial weights, dropout, order and sampled captions."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """The optimizer."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability mass spread uniformly over the vocabulary."""
    loss_weighting: Literal["per_caption", "per_image"] = "per_caption"
    """Whether each caption or each image has equal weight in the loss."""
    captions_per_image: NonNegativeInt = 0
    """Number of captions sampled per image and epoch; 0 uses all of them."""

    checkpoint_metric: Literal["loss", "bleu_4"] = "loss"
    """Metric on eval that chooses the best epoch."""
    early_stopping_patience: NonNegativeInt = 0
    """Number of epochs without improvement after which training stops; 0 disables early stopping."""
    num_averaged_checkpoints: PositiveInt = 1
    """Number of best epochs whose weights are averaged, when the average is better on eval than the best epoch."""
    checkpoint_every_steps: NonNegativeInt = 0
    """Steps between two checkpoints to resume from; 0 disables checkpoints by steps."""
    checkpoint_every_minutes: NonNegativeFloat = 5.0
    """Minutes between two checkpoints to resume from; 0 disables checkpoints by time."""

    self_critical: SelfCriticalSettings = SelfCriticalSettings()
    """The second phase of the training."""

    max_gpus: NonNegativeInt = 0
    """Maximum number of GPUs that share each batch; 0 uses all GPUs."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix multiplications; `auto` uses the faster one."""

    def __post_init__(self) -> None:
        for model in (self.model, *self.comparison_models):
            needs_d_model = self.optimizer.lr_schedule == "inverse_sqrt" and self.optimizer.peak_learning_rate is None
            if needs_d_model and not hasattr(model, "d_model"):
                raise ValueError(
                    f"optimizer.peak_learning_rate must be set: its default with inverse_sqrt depends on d_model, "
                    f"which the model {model.name} does not have"
                )
