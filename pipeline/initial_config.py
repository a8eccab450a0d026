"""A first config for a data directory: settings that suit its size, each with its reason, as commented YAML."""

import dataclasses
import os
import re
import shutil
from collections.abc import Sequence

from components.caption_ingest.rejects import amounts
from components.caption_ingest.settings import SplitFractions
from components.feature_extractor.backbones import imagenet_weights
from components.shared.evaluations import small_test_warning
from components.shared.models.settings import TransformerSettings
from components.shared.records import TEST, TRAIN
from components.tokenizer.settings import TokenizerSettings
from components.trainer.settings import TrainerSettings
from pipeline import config_files
from pipeline.commented_yaml import Setting, render
from pipeline.config import Config
from pipeline.data_survey import Survey
from pipeline.paths import default_root, display_path
from pipeline.probe import Captions, Speed

TARGET_STEPS, MIN_EPOCHS, MAX_EPOCHS = 8000, 12, 40  # RSICD's 12 epochs are 8,000 steps
MIN_STEPS_PER_EPOCH, SMALL_BATCH = 10, 16
MAX_WARMUP_STEPS = 500
RARE = 2  # a word must occur so often to be learned
MAX_VOCABULARY, MIN_VOCABULARY = 10_000, 1000
REPEATED = 0.6  # fraction of different captions below which images repeat theirs
OTHER_BYTES = 10**9  # models, checkpoints and log
OTHER_SECONDS = 60.0  # reading the data, its statistics, export, evaluation and report of a small dataset
MARGIN = 2.0  # a run may take so many times as long as estimated
FEW_CAPTIONS = 1000  # up to here, no caption is truncated


@dataclasses.dataclass(frozen=True)
class ModelSize:
    """A model for data of some size.

    Attributes:
      max_train_images: the most images that it is chosen for.
      model: the model.
      reason: why.
    """

    max_train_images: float
    model: TransformerSettings
    reason: str


SIZES = (
    ModelSize(
        2_000,
        TransformerSettings(
            num_encoder_layers=2, num_decoder_layers=2, d_model=128, num_heads=4, ffn_dim=256, dropout=0.3,
            tie_embeddings=True,
        ),
        "few images are easy to memorize: a small model and much dropout, as for the built-in sample",
    ),
    ModelSize(
        30_000,
        TransformerSettings(
            num_encoder_layers=1, num_decoder_layers=3, d_model=256, ffn_dim=1024, dropout=0.3, tie_embeddings=True
        ),
        "the size that was best for RSICD's 8,700 images",
    ),
    ModelSize(float("inf"), TransformerSettings(), "the reference size: there are enough images for it"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone of `keras.applications` at its own image size.

    Attributes:
      name: its name.
      feature_bytes: bytes per image in the feature store.
      reason: why it is chosen.
    """

    name: str
    feature_bytes: int
    reason: str


ACCURATE = Backbone("InceptionV3", 8 * 8 * 2048 * 2, "affordable for so many images on this machine")
FAST = Backbone(
    "MobileNet", 7 * 7 * 1024 * 2, "without a GPU, InceptionV3 takes several times as long for so many images"
)
MAX_ACCURATE_IMAGES = 3000  # without a GPU


def name_of(data_dir: str) -> str:
    """Makes a pipeline's name of a directory's.

    >>> name_of("/data/My photos (2024)/")
    'My-photos-2024'
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", os.path.basename(os.path.abspath(data_dir)))[:63].strip("-._")
    return name or Config.name


def backbone_for(survey: Survey, has_gpu: bool) -> Backbone:
    """Chooses the backbone."""
    return ACCURATE if has_gpu or survey.total_images <= MAX_ACCURATE_IMAGES else FAST


def choose(survey: Survey, name: str, has_gpu: bool) -> list[Setting]:
    """Chooses the settings.

    Args:
      survey: what the data is like.
      name: the name of the pipeline.
      has_gpu: whether the training runs on a GPU.
    """
    backbone = backbone_for(survey, has_gpu)
    return [
        Setting("name", name, f"results are in {default_root(name)}, unless root names another directory"),
        *_data(survey),
        *_tokenizer(survey),
        Setting("feature_extractor.backbone", backbone.name, backbone.reason),
        Setting("feature_extractor.weights", "imagenet", "downloaded by Keras once; or the path of a weights file"),
        *_trainer(survey),
        Setting("decoding.beam_size", 3, "5 is sometimes better, and slower; changing it trains nothing again"),
        Setting(
            "evaluator.min_bleu_4",
            0.0,
            "blesses the first model whatever its BLEU-4; raise it when you know what is possible. Every later "
            "model must also be as good as the last blessed one",
        ),
    ]


def _first_files(survey: Survey) -> str:
    """The caption files, of which there may be one per image."""
    return ", ".join(survey.caption_files[:3]) + (", …" if len(survey.caption_files) > 3 else "")


def _data(survey: Survey) -> list[Setting]:
    sizes = ", ".join(f"{split} {number:,}" for split, number in survey.num_images.items())
    settings = [
        Setting(
            "data.dir",
            survey.data_dir,
            f"{survey.total_images:,} images ({sizes}), {survey.num_captions:,} captions: {survey.format} in "
            f"{_first_files(survey)}",
        ),
        Setting("data.max_reject_fraction", 0.01, "the run stops when more captions cannot be used"),
    ]
    if not survey.is_official:
        fractions = dataclasses.asdict(survey.split_fractions)
        reason = "there are no split lists: a hash of the image's name decides, so images that are added move no other"
        if survey.split_fractions != SplitFractions():
            reason += "; with the usual ones, a split of so few images would be empty or too small"
        for split, fraction in fractions.items():
            settings.append(Setting(f"data.split_fractions.{split}", fraction, reason))
            reason = ""
    return settings


def _tokenizer(survey: Survey) -> list[Setting]:
    num_words, num_frequent = len(survey.word_counts), sum(n >= RARE for n in survey.word_counts.values())
    size = min(max(num_frequent, MIN_VOCABULARY), MAX_VOCABULARY)
    quantile = 1.0 if len(survey.caption_lengths) <= FEW_CAPTIONS else TokenizerSettings.max_length_quantile
    length, longest = caption_length(survey, quantile), survey.caption_lengths[-1]
    what = "no caption is truncated" if quantile == 1.0 else f"{1 - quantile:.0%} of the captions are truncated"
    return [
        Setting(
            "tokenizer.vocabulary_size",
            size,
            f"train has {num_words:,} different words, {num_frequent:,} of them at least {RARE} times",
        ),
        Setting(
            "tokenizer.max_length_quantile",
            quantile,
            f"maximum length {length} words, the longest caption has {longest}: {what}",
        ),
    ]


def _trainer(survey: Survey) -> list[Setting]:
    num_images, num_captions = survey.num_images[TRAIN], len(survey.caption_lengths)
    size = next(size for size in SIZES if num_images <= size.max_train_images)
    default, model = TransformerSettings(), dataclasses.asdict(size.model)
    changed = {
        key: value for key, value in model.items() if key == "num_encoder_layers" or value != getattr(default, key)
    }
    batch_size = TrainerSettings.batch_size
    batch_reason = "captions per step; the reference"
    if num_captions < batch_size * MIN_STEPS_PER_EPOCH:
        batch_size, batch_reason = (
            SMALL_BATCH,
            "captions per step: with 64, an epoch of so few would be only a few steps",
        )
    steps_per_epoch = -(-num_captions // batch_size)
    epochs = min(max(TARGET_STEPS // steps_per_epoch, MIN_EPOCHS), MAX_EPOCHS)
    num_steps = epochs * steps_per_epoch
    settings = [Setting(f"trainer.model.{key}", value) for key, value in changed.items()]
    settings[0] = dataclasses.replace(settings[0], reason=size.reason)
    settings += [
        Setting("trainer.epochs", epochs, f"{num_steps:,} steps in all; the best epoch on eval is kept"),
        Setting("trainer.batch_size", batch_size, batch_reason),
        Setting("trainer.optimizer.lr_schedule", "cosine", "suits a training whose length is known"),
        Setting(
            "trainer.optimizer.warmup_steps",
            min(max(num_steps // 10, 1), MAX_WARMUP_STEPS),
            "a tenth of all steps, at most 500",
        ),
        Setting("trainer.optimizer.weight_decay", 0.01, "with clipped gradients and smoothed labels, as for RSICD"),
        Setting("trainer.optimizer.grad_clip_norm", 1.0),
        Setting("trainer.label_smoothing", 0.1),
        Setting("trainer.num_averaged_checkpoints", 5, "the mean of the best epochs, where it is better on eval"),
    ]
    if survey.num_unique_captions < REPEATED * num_captions:
        reason = "many images repeat one caption, which would count several times"
        settings.append(Setting("trainer.loss_weighting", "per_image", reason))
    return settings


def caption_length(survey: Survey, quantile: float) -> int:
    """The number of words that a fraction of the train captions do not exceed."""
    index = max(0, -(-int(quantile * 1000) * len(survey.caption_lengths) // 1000) - 1)
    return survey.caption_lengths[min(index, len(survey.caption_lengths) - 1)]


def load(settings: Sequence[Setting]) -> Config:
    """The settings as the real loader reads them."""
    return config_files.loads(render(settings, []), "the new config")


def captions_of(survey: Survey, config: Config) -> Captions:
    """The size of the captions for the probe."""
    num_captions = len(survey.caption_lengths)
    return Captions(
        per_image=max(1, round(num_captions / survey.num_images[TRAIN])),
        num_words=caption_length(survey, config.tokenizer.max_length_quantile),
        vocabulary_size=min(config.tokenizer.vocabulary_size, len(survey.word_counts)),
    )


def estimate(survey: Survey, config: Config, speed: Speed) -> str:
    """How long the first run will take, and what that assumes."""
    extraction, training = speed.seconds(survey.num_images, config.trainer.epochs)
    total = extraction + training + OTHER_SECONDS
    return (
        f"about {_duration(total)} to {_duration(MARGIN * total)} for the first run on this machine: features "
        f"{_duration(extraction)} ({speed.seconds_per_image * 1000:.0f} ms per image), training {_duration(training)} "
        f"({speed.seconds_per_step * 1000:.0f} ms per step, evaluation after each epoch included), other steps "
        f"{_duration(OTHER_SECONDS)}. It assumes that every image and step takes as long as the few that were measured."
    )


def _duration(seconds: float) -> str:
    """A duration with its unit.

    >>> _duration(0.4), _duration(95), _duration(1800), _duration(10_000)
    ('1 s', '95 s', '30 minutes', '2.8 hours')
    """
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def describe(survey: Survey, config: Config) -> list[str]:
    """What was found, for people."""
    sizes = ", ".join(f"{split} {number:,}" for split, number in survey.num_images.items())
    splits = "as the dataset defines them" if survey.is_official else "by a hash of the name: there are no split lists"
    lengths = survey.caption_lengths
    free = free_bytes(config.root_dir)
    needed = survey.total_images * backbone_bytes(config)
    return [
        f"{survey.data_dir}: captions of format {survey.format} in {_first_files(survey)}",
        f"images    {survey.total_images:,} ({sizes}); splits {splits}",
        f"captions  {survey.num_captions:,}; in train {lengths[0]} to {lengths[-1]} words, {len(survey.word_counts):,} "
        "different ones",
        f"checked   {survey.num_checked:,} images opened, those that cannot be used included",
        f"disk      {free / 1e9:.1f} GB free for {display_path(config.root_dir)}; features take {needed / 1e6:,.0f} MB",
    ]


def backbone_bytes(config: Config) -> int:
    """Bytes per image in the feature store."""
    return next(b.feature_bytes for b in (ACCURATE, FAST) if b.name == config.feature_extractor.backbone)


def warnings(survey: Survey, config: Config, num_free: int) -> list[str]:
    """What to know before the first run."""
    texts = [*survey.warnings]
    if survey.refusal:
        texts.append(f"the run will stop: {survey.refusal}")
    elif survey.rejects:
        reject = survey.rejects[0]
        place = f"{reject.source}:{reject.line}: {reject.image_id}: {reject.reason.value}: {reject.detail}"
        texts.append(f"some data cannot be used ({'; '.join(amounts(survey.rejects))}), such as {place}")
    texts += small_test_warning(survey.num_images[TEST])
    required = survey.total_images * backbone_bytes(config) + OTHER_BYTES
    if required > num_free:
        texts.append(
            f"about {required / 1e9:.1f} GB are needed at {config.root_dir}, and {num_free / 1e9:.1f} GB are free"
        )
    return texts


def weights_warning(backbone: str) -> list[str]:
    """A warning if the ImageNet weights of a backbone are not on this machine and can't be downloaded now."""
    if imagenet_weights.are_available(backbone):
        return []
    file = imagenet_weights.FILES[backbone]
    return [
        f"the ImageNet weights of {backbone} are not on this machine and can't be downloaded now, so a run would stop: "
        f"put {file} at {imagenet_weights.cache_path(file)}; or set feature_extractor.weights to the path of a weights "
        "file, or to random, which needs no file and is for trying the pipeline out"
    ]


def free_bytes(directory: str) -> int:
    """The free disk space where a directory is, or will be created."""
    directory = os.path.abspath(directory)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return shutil.disk_usage(directory).free
