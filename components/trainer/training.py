"""`run_fn`: what TFX's Trainer calls."""

import dataclasses
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from absl import logging
from tfx.components.trainer.fn_args_utils import FnArgs

from components import records
from components.features import Backbone, Manifest
from components.progress import LOGGER
from components.trainer import export, input_pipeline, optimization
from components.trainer.transformer import CaptionTransformer, TransformerSettings


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to train; sizes are in `TransformerSettings`.

    Attributes:
      epochs: passes over the train pictures.
      batch_size: captions a step, about: whole pictures are taken.
      warmup: steps until the learning rate is highest.
      seed: of weights, dropout and order.
    """

    epochs: int
    batch_size: int = 64
    warmup: int = 4000
    seed: int = 0


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train split, keeps the epoch with the least loss on eval, and exports it.

    Args:
      fn_args: TFX's own, with a `custom_config` of {"model": sizes, "training": `TrainingSettings`, "features": uri}.

    Raises:
      FloatingPointError: the loss is no number any more.
    """
    config = fn_args.custom_config
    settings = TrainingSettings(**config["training"])
    manifest = Manifest.load(config["features"])
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = transform.transformed_feature_spec()
    ids = {
        split: input_pipeline.load_ids(_expand(files), spec)
        for split, files in ((records.TRAIN, fn_args.train_files), (records.EVAL, fn_args.eval_files))
    }
    keras.utils.set_random_seed(settings.seed)
    model = CaptionTransformer(
        TransformerSettings(
            vocabulary_size=transform.vocabulary_size_by_name(records.VOCABULARY),
            grid=manifest.grid,
            channels=manifest.channels,
            max_length=next(iter(ids[records.TRAIN].values())).shape[1],
            **config["model"],
        )
    )
    train = input_pipeline.make_dataset(manifest, ids[records.TRAIN], settings.batch_size, settings.seed)
    held_out = input_pipeline.make_dataset(manifest, ids[records.EVAL], settings.batch_size)
    fit(model, train, held_out, settings, fn_args.model_run_dir)
    captioner = export.Captioner(
        model, Backbone(manifest.directory), transform.vocabulary_file_by_name(records.VOCABULARY)
    )
    export.save(captioner, fn_args.serving_model_dir, manifest.fingerprint)


def fit(
    model: CaptionTransformer,
    train: tf.data.Dataset,
    held_out: tf.data.Dataset,
    settings: TrainingSettings,
    run_dir: str,
) -> Mapping[str, list[float]]:
    """Trains a model and leaves it with the weights of its best epoch.

    Args:
      model: new.
      train: see `input_pipeline.make_dataset`.
      held_out: likewise, to choose the best epoch on.
      settings: how.
      run_dir: for TensorBoard logs and the best checkpoint.

    Returns:
      Keras's history: name -> a value an epoch.
    """
    model.compile(
        optimization.adam(model.settings.d_model, settings.warmup),
        loss=optimization.masked_loss,
        metrics=[optimization.masked_accuracy],
        jit_compile=False,  # batches differ in length, and XLA would compile for each
    )
    best = os.path.join(run_dir, "best.weights.h5")
    callbacks = [
        keras.callbacks.TensorBoard(os.path.join(run_dir, "logs"), write_graph=False),
        keras.callbacks.ModelCheckpoint(best, monitor="val_loss", save_best_only=True, save_weights_only=True),
        keras.callbacks.TerminateOnNaN(),
        TellProgress(settings.epochs, int(train.cardinality())),
    ]
    history = model.fit(train, validation_data=held_out, epochs=settings.epochs, callbacks=callbacks, verbose=0).history
    if not math.isfinite(history["loss"][-1]):
        raise FloatingPointError(
            f"the loss became {history['loss'][-1]} in epoch {len(history['loss'])}: "
            "raise trainer.warmup, or lower the model's size"
        )
    model.load_weights(best)
    logging.info("best epoch: %d", 1 + min(range(len(history["val_loss"])), key=history["val_loss"].__getitem__))
    return history


class TellProgress(keras.callbacks.Callback):
    """Tells epoch, loss, accuracy and the time left, at most once a second."""

    def __init__(self, epochs: int, steps: int):
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.done, self.epoch = 0, 0
        self.start = self.told = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.done += 1
        now = time.monotonic()
        if self.done == 1:
            self.start = now  # the first step traces the graph, and tells nothing of the others
        if now - self.told < 1.0 or self.done == 1 or not logs:
            return
        self.told = now
        left = (now - self.start) / (self.done - 1) * (self.epochs * self.steps - self.done)
        LOGGER.info(
            "epoch %d of %d, loss %.3f, accuracy %.3f, %.0f s left",
            self.epoch + 1, self.epochs, logs["loss"], logs["masked_accuracy"], left,
        )  # fmt: skip

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logging.info("epoch %d of %d: %s", epoch + 1, self.epochs, logs)


def _expand(patterns: list[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))
