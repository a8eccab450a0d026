"""`run_fn`: what TFX's Trainer calls."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from absl import logging
from tfx.components.trainer.fn_args_utils import FnArgs

from components import records
from components.features import Backbone, Manifest
from components.progress import LOGGER
from components.trainer import devices, export, optimization, warm_start
from components.trainer.attention import AttentionCaptioner, AttentionSettings
from components.trainer.checkpoints import Checkpoints
from components.trainer.decoding import DecodingSettings
from components.trainer.input_pipeline import CaptionedFeatures, load_ids
from components.trainer.loop import BLEU, Loop, LoopSettings
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.watching import Curves, Reader

MODELS = {
    "transformer": (CaptionTransformer, TransformerSettings),
    "attention": (AttentionCaptioner, AttentionSettings),
}
# what changes nothing of the outcome, so that a training goes on with other values of it
OF_THIS_RUN = ("checkpoint_steps", "checkpoint_minutes")
Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Data:
    """What a training reads.

    Attributes:
      manifest: of the features.
      ids: split -> image id -> int32 [n, T].
      vocabulary_file: one word a line, in the order of the ids.
    """

    manifest: Manifest
    ids: Mapping[str, Mapping[str, np.ndarray]]
    vocabulary_file: str

    @classmethod
    def load(cls, fn_args: FnArgs) -> "Data":
        """Reads what TFX has handed over."""
        transform = tft.TFTransformOutput(fn_args.transform_graph_path)
        spec = transform.transformed_feature_spec()
        files = {records.TRAIN: fn_args.train_files, records.EVAL: fn_args.eval_files}
        return cls(
            Manifest.load(fn_args.custom_config["features"]),
            {split: load_ids(_expand(patterns), spec) for split, patterns in files.items()},
            transform.vocabulary_file_by_name(records.VOCABULARY),
        )

    @property
    def words(self) -> list[str]:
        """The vocabulary in the order of the ids."""
        with tf.io.gfile.GFile(self.vocabulary_file) as file:
            return file.read().splitlines()

    def fingerprint(self) -> str:
        """Equal for equal words, pictures and order."""
        digest = hashlib.sha256(json.dumps([self.words, dataclasses.asdict(self.manifest)], sort_keys=True).encode())
        for split in sorted(self.ids):
            for image_id, captions in sorted(self.ids[split].items()):
                digest.update(f"{split} {image_id} {captions.shape}".encode() + captions.tobytes())
        return digest.hexdigest()


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train split, keeps the best weights by eval, and exports them.

    A training that was killed goes on where its last checkpoint is: in `checkpoint_dir`, under everything that
    determines the training.

    Args:
      fn_args: TFX's own, with a `custom_config` of {"settings": `trainer` of the config, "features": uri,
        "checkpoint_dir", "source": of the code}.

    Raises:
      FloatingPointError: the loss is no number any more.
    """
    config, data = fn_args.custom_config, Data.load(fn_args)
    settings = config["settings"]
    determined_by = [{key: value for key, value in settings.items() if key not in OF_THIS_RUN}, config["source"]]
    determined_by += [fn_args.base_model or "", data.fingerprint()]
    key = hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]
    checkpoints = Checkpoints(os.path.join(config["checkpoint_dir"], key))
    keras.utils.set_random_seed(settings["seed"])
    with devices.strategy(settings["devices"]).scope():
        model = build(settings, data)
        if fn_args.base_model:
            taken, told = warm_start.start_from(model, fn_args.base_model, data.words)
            for tell in (logging.info, LOGGER.info) if taken else (logging.warning, LOGGER.warning):
                tell(told)
        fit(model, data, settings, checkpoints, os.path.join(fn_args.model_run_dir, "logs"))
    captioner = export.Captioner(
        model, Backbone(data.manifest.directory), data.vocabulary_file, choose(DecodingSettings, settings)
    )
    export.save(captioner, fn_args.serving_model_dir, data.manifest.fingerprint)
    checkpoints.remove()


def choose(kind: type[Settings], settings: Mapping[str, Any], **known: Any) -> Settings:
    """The settings of one part, by the names of its fields."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in settings.items() if name in names} | known)


def build(settings: Mapping[str, Any], data: Data) -> keras.Model:
    """A new model for some data."""
    make, kind = MODELS[settings["model"]]
    model_settings: Any = choose(
        kind,
        settings,
        vocabulary_size=len(data.words),
        grid=data.manifest.grid,
        channels=data.manifest.channels,
        max_length=max(ids.shape[1] for ids in data.ids[records.TRAIN].values()),
        precision=devices.precision(settings["precision"]),
    )
    model = make(model_settings)
    warm_start.make_weights(model)
    return model


def fit(model: keras.Model, data: Data, settings: Mapping[str, Any], checkpoints: Checkpoints, logs: str) -> None:
    """Trains a model, and leaves it with its best weights.

    Args:
      model: of `build`.
      data: to learn from, and to choose by.
      settings: `trainer` of the config.
      checkpoints: of this training.
      logs: directory for TensorBoard.
    """
    train, held_out = (
        CaptionedFeatures(data.manifest, data.ids[split], settings["batch_size"], settings["alike"])
        for split in (records.TRAIN, records.EVAL)
    )
    optimizer = optimization.make_optimizer(
        choose(optimization.OptimizerSettings, settings), settings["d_model"], settings["epochs"] * train.steps
    )
    reader, curves = Reader(model, held_out, data.words), Curves(logs)
    by_bleu = settings["select_by"] == BLEU
    loop = Loop(
        model,
        optimizer,
        train,
        held_out,
        choose(LoopSettings, settings),
        checkpoints,
        reader.bleu_4 if by_bleu else None,
    )
    for outcome in loop.run():
        as_it_was = outcome["epoch"] == loop.at.epoch and not loop.at.step  # the model, when this epoch was over
        curves.add(outcome, reader.samples() if as_it_was else ())


def _expand(patterns: list[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))
