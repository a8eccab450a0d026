"""Trains a captioning model on the train split, and chooses its weights on eval."""

import dataclasses
import hashlib
import json
from typing import Any

import keras

from components.shared import records
from components.shared.models import weights
from components.shared.models.description import format_parameters
from components.shared.progress import LOGGER
from components.trainer import devices, optimization, warm_start
from components.trainer.checkpoints import CheckpointManager
from components.trainer.data import TrainingData
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.loop import BLEU_4, TrainingLoop
from components.trainer.monitoring import TensorBoardLogger, ValidationDecoder
from components.trainer.rewards import CiderD, without_start
from components.trainer.self_critical import SelfCriticalLoop
from components.trainer.settings import TrainerSettings

# settings that do not change the outcome: a training is resumed under other values of them
RUNTIME_ONLY = ("checkpoint_every_steps", "checkpoint_every_minutes")
SECOND_PHASE = "self_critical"  # its settings change nothing of the first phase


def training_key(settings: TrainerSettings, label: str, code: str, base_model: str | None, data: TrainingData) -> str:
    """Returns a hash of everything that determines the first phase of a training: equal ones share checkpoints.

    Args:
      settings: the Trainer's settings.
      label: the label of the model; two models of one run may have equal settings and be trained at the same time.
      code: the identity of the Trainer's code.
      base_model: the URI of the model to take the initial weights from; None if there is none.
      data: the data to train on.
    """
    values = select_fields(settings, (*RUNTIME_ONLY, SECOND_PHASE))
    inputs = dataclasses.asdict(data.model_inputs(settings.compute_dtype))  # with the dtype that "auto" stands for here
    key = json.dumps([values, inputs, label, code, base_model, data.fingerprint()], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def select_fields(settings: TrainerSettings, excluded: tuple[str, ...]) -> dict[str, Any]:
    """Returns the settings as plain data, without the fields that are excluded."""
    return {name: value for name, value in dataclasses.asdict(settings).items() if name not in excluded}


def train(
    data: TrainingData,
    settings: TrainerSettings,
    checkpoints: CheckpointManager,
    log_dir: str,
    base_model: str | None,
) -> Any:
    """Trains a model.

    Args:
      data: the data to train on and to choose the best epoch on.
      settings: the Trainer's settings.
      checkpoints: the checkpoints of this training; if there are any, it is resumed.
      log_dir: the directory for TensorBoard logs.
      base_model: the directory of an exported model to take the initial weights from; None for random ones.

    Returns:
      the model with its best weights, a `CaptionModel`.

    Raises:
      FloatingPointError: the loss is not finite.
    """
    keras.utils.set_random_seed(settings.seed)
    with devices.strategy(settings.max_gpus).scope():
        model = weights.build(settings.model, data.model_inputs(settings.compute_dtype))
        LOGGER.info("Model of %s", format_parameters(model.count_params()))
        if base_model is not None:
            try:
                num_words = warm_start.load_base_weights(model, base_model, data.words, data.manifest.fingerprint)
                LOGGER.info("Initial weights from %s (%d of %d words)", base_model, num_words, len(data.words))
            except warm_start.WarmStartError as error:
                LOGGER.warning("%s; training from scratch: %s", error.reason, error.detail)
        fit(model, data, settings, checkpoints, log_dir)
    return model


def fit(
    model: Any, data: TrainingData, settings: TrainerSettings, checkpoints: CheckpointManager, log_dir: str
) -> None:
    """Trains a built model and leaves it with its best weights; for the arguments see `train`."""
    train_data, eval_data = (
        CaptionedFeatures(data.manifest, data.ids[split], settings.batch_size, settings.loss_weighting, number)
        for split, number in ((records.TRAIN, settings.captions_per_image), (records.EVAL, 0))
    )
    optimizer = optimization.make_optimizer(
        settings.optimizer, getattr(settings.model, "d_model", None), settings.epochs * train_data.num_batches
    )
    decoder, logger = ValidationDecoder(model, eval_data, data.words), TensorBoardLogger(log_dir)
    score = decoder.bleu_4 if settings.checkpoint_metric == BLEU_4 else None
    loop = TrainingLoop(model, optimizer, train_data, eval_data, settings, checkpoints, score)
    _run(loop, logger, decoder, first_epoch=0)
    if not settings.self_critical.epochs:
        return
    cider_d = CiderD(map(without_start, train_data.captions), len(data.words))
    if not cider_d.is_informative:
        LOGGER.warning("No self-critical training: all train images have the same captions, and CIDEr-D rewards none")
        return
    values = json.dumps(dataclasses.asdict(settings.self_critical), sort_keys=True)
    phase = checkpoints.phase(f"{SECOND_PHASE}-{hashlib.sha256(values.encode()).hexdigest()[:8]}")
    second = SelfCriticalLoop(model, train_data, eval_data, settings, phase, decoder, cider_d)
    _run(second, logger, decoder, first_epoch=loop.state.epoch)


def _run(loop: TrainingLoop, logger: TensorBoardLogger, decoder: ValidationDecoder, first_epoch: int) -> None:
    """Runs a phase of the training, and logs its epochs, which are counted from `first_epoch` on."""
    for metrics in loop.run():
        # false for epochs before a resumption: the model has been trained further since
        is_current_model = metrics["epoch"] == loop.state.epoch and not loop.state.step
        samples = decoder.samples() if is_current_model else ()
        logger.add(metrics | {"epoch": first_epoch + metrics["epoch"]}, samples)
