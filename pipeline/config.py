"""The settings of a pipeline: one frozen tree, from a YAML file and `key=value` overrides.

The defaults are the reference model on a data set of one's own; what a file leaves out, or sets to null, keeps them.
"""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

SAMPLE = pathlib.Path(__file__).parent / "configs" / "sample.yaml"

Metric = Literal["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "meteor"]
ModelName = Literal["transformer", "attention"]
Share = Annotated[float, Field(ge=0, le=1)]
UserPath = Annotated[str, pydantic.AfterValidator(os.path.expanduser)]
_STRICT_KEYS = pydantic.ConfigDict(extra="forbid")


class ConfigError(ValueError):
    """The settings can't be used; the message says which and why."""


@dataclass(frozen=True, config=_STRICT_KEYS)
class Sample:
    """The built-in data set, drawn when `data.dir` is not set."""

    images: PositiveInt = 500
    seed: int = 7


@dataclass(frozen=True, config=_STRICT_KEYS)
class SplitShares:
    """Shares of the pictures, for data sets without official lists."""

    train: Share = 0.8
    eval: Share = 0.1
    test: Share = 0.1


@dataclass(frozen=True, config=_STRICT_KEYS)
class Data:
    """What goes in."""

    dir: UserPath | None = None  # captions, lists and pictures; days/{SPAN}: the highest number; null: the sample
    captions: str | None = None  # the file in it with the captions, or a pattern of several; null: found by content
    limit: PositiveInt | None = None  # take this many pictures, the first by hash of their names; null: all
    max_reject_fraction: Share = 0.01  # share of the captions that may be lost before the run stops
    unlisted: Literal["train", "skip"] = "train"  # what becomes of pictures that no official list names
    split_shares: SplitShares = SplitShares()
    on_drift: Literal["warn", "stop"] = "warn"  # what becomes of data that is valid, but other than before
    sample: Sample = Sample()


@dataclass(frozen=True, config=_STRICT_KEYS)
class Tokenizer:
    """Sentences to word ids."""

    vocabulary_size: PositiveInt = 5000  # words, the most frequent ones of train
    coverage: Share = 0.99  # share of train's captions that are not cut


@dataclass(frozen=True, config=_STRICT_KEYS)
class FeatureExtractor:
    """Pictures to features."""

    backbone: str = "InceptionV3"  # a class of keras.applications
    weights: UserPath = "imagenet"  # imagenet, random, or the path of a weights file
    image_size: NonNegativeInt = 0  # side of the backbone's input in pixels; 0: its own
    batch_size: PositiveInt = 16  # pictures a call of the backbone
    store: UserPath | None = None  # where features are kept, also for several roots; null: ROOT/store/features


@dataclass(frozen=True, config=_STRICT_KEYS)
class Trainer:
    """The captioning models and their training; the defaults are the reference of Vaswani et al. 2017."""

    model: ModelName = "transformer"  # attention: a GRU with Bahdanau attention
    models: tuple[ModelName, ...] = ()  # trains these side by side; the first one may serve; none: `model` alone
    warm_start: Literal["none", "last_blessed"] = "none"  # what the weights start from

    encoder_layers: PositiveInt = 4
    decoder_layers: PositiveInt = 4
    d_model: PositiveInt = 512
    heads: PositiveInt = 8
    feed_forward: PositiveInt = 2048
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    norm: Literal["pre", "post"] = "pre"  # where the layer norm stands; post as in the paper
    tie_weights: bool = False  # one matrix embeds words and scores them

    epochs: PositiveInt = 30
    batch_size: PositiveInt = 64  # captions a step
    schedule: Literal["rsqrt", "cosine"] = "rsqrt"  # of the learning rate
    warmup: PositiveInt = 4000  # steps until the learning rate is highest
    learning_rate: PositiveFloat | None = None  # the highest; null: 0.001 with cosine, the paper's with rsqrt
    weight_decay: NonNegativeFloat = 0.0  # AdamW's
    clip_norm: NonNegativeFloat = 0.0  # most length of the gradient; 0: any
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    alike: Literal["captions", "pictures"] = "captions"  # what weighs alike, where some pictures have more captions
    captions_a_picture: NonNegativeInt = 0  # drawn anew each epoch; 0: all of them
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    select_by: Literal["loss", "bleu_4"] = "loss"  # what the best epoch is chosen by, on eval
    patience: NonNegativeInt = 0  # epochs without a better one after which the training ends; 0: never
    average: PositiveInt = 1  # the weights are the mean of so many best epochs, where that is better
    checkpoint_steps: NonNegativeInt = 0  # steps between two checkpoints; 0: not counted
    checkpoint_minutes: NonNegativeFloat = 5.0  # minutes between two checkpoints; 0: not looked at

    devices: NonNegativeInt = 0  # GPUs that share each batch; 0: all there are
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of products; auto: the faster one

    beam_size: PositiveInt = 3  # captions followed at once while decoding; 1: greedy
    length_penalty: NonNegativeFloat = 0.6  # alpha of Wu et al. 2016
    min_words: PositiveInt = 1  # of a caption
    max_words: NonNegativeInt = 0  # of a caption; 0: as many as the training has seen

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Trainer":
        if self.d_model % self.heads or self.d_model % 4:
            raise ValueError(f"d_model {self.d_model} must be a multiple of heads ({self.heads}) and of 4")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models {list(self.models)} names one twice")
        if self.max_words and self.max_words < self.min_words:
            raise ValueError(f"max_words {self.max_words} is less than min_words {self.min_words}")
        return self


@dataclass(frozen=True, config=_STRICT_KEYS)
class Evaluator:
    """When a model may serve."""

    min_bleu_4: Share = 0.0  # least corpus BLEU-4 on test
    min_gain: Annotated[float, Field(ge=-1, le=1)] = 0.0  # least BLEU-4 over the last blessed model's
    max_loss: dict[Metric, NonNegativeFloat] = Field(default_factory=dict)  # most it may lose, as in {cider: 0.05}
    max_p: Annotated[float, Field(gt=0, le=1)] = 1.0  # greatest chance that the gain in BLEU-4 is chance; 1: any
    baseline: Literal["last_blessed", "none"] = "last_blessed"  # none: bless without a comparison
    slices: tuple[str, ...] = ("caption_length",)  # measured apart, by caption_length or a field of the examples
    resamples: PositiveInt = 1000  # test sets that are drawn for the 95 % intervals and for p
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # of the draws
    meteor: bool = True  # METEOR, too, where there is Java


@dataclass(frozen=True, config=_STRICT_KEYS)
class BeamStep:
    """One of the Beam steps."""

    args: tuple[str, ...] = ()  # after those of all steps, so that they win


@dataclass(frozen=True, config=_STRICT_KEYS)
class Beam:
    """The Beam steps."""

    args: tuple[str, ...] = ()  # as `beam_pipeline_args` in TFX
    steps: dict[Literal["CaptionIngest", "StatisticsGen", "FeatureExtractor", "Transform"], BeamStep] = Field(
        default_factory=dict
    )  # by name


@dataclass(frozen=True, config=_STRICT_KEYS)
class Resources:
    """What the container of a step gets on Kubernetes; null leaves it to the cluster."""

    cpu: str | None = None  # requested and at most, as in "500m" or "4"
    memory: str | None = None  # likewise, as in 8Gi
    gpu: NonNegativeInt = 0
    gpu_type: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = Field(default_factory=dict)  # labels of the nodes that may run it
    retries: NonNegativeInt = 2
    timeout: PositiveInt | None = None  # seconds; null: none


@dataclass(frozen=True, config=_STRICT_KEYS)
class Database:
    """ML Metadata in MariaDB or MySQL; user and password come from a Secret with the keys `user` and `password`."""

    host: str = "captions-metadata"
    port: PositiveInt = 3306
    name: str = "captions_metadata"
    secret: str = "captions-metadata"


def _default_steps() -> dict[str, Resources]:
    return {
        "FeatureExtractor": Resources(cpu="4", memory="6Gi"),
        "Trainer": Resources(cpu="4", memory="8Gi"),
    }


@dataclass(frozen=True, config=_STRICT_KEYS)
class Kubeflow:
    """The pipeline on Kubeflow Pipelines."""

    image: str = "captions:latest"  # of kubeflow/Dockerfile, with its registry
    volume: str | None = "captions"  # claim that all steps mount (ReadWriteMany); null: none, where root is gs://
    mount: str = "/captions"  # where they mount it
    database: Database = Database()
    default: Resources = Resources(cpu="1", memory="4Gi")
    steps: dict[str, Resources] = Field(default_factory=_default_steps)  # by name, in place of the default


@dataclass(frozen=True, config=_STRICT_KEYS)
class Config:
    """A whole pipeline."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "captions"  # ML Metadata knows it by this
    root: UserPath | None = None  # everything that is written; null: runs/<name>
    cache: bool = True  # answer steps whose inputs, settings and code are unchanged from an earlier run
    data: Data = Data()
    tokenizer: Tokenizer = Tokenizer()
    feature_extractor: FeatureExtractor = FeatureExtractor()
    trainer: Trainer = Trainer()
    evaluator: Evaluator = Evaluator()
    beam: Beam = Beam()
    kubeflow: Kubeflow = Kubeflow()

    @property
    def root_dir(self) -> str:
        """The root as an absolute path or URI."""
        return _absolute(self.root or os.path.join("runs", self.name))

    @property
    def data_dir(self) -> str:
        """The data directory as an absolute path; the sample's is below the root."""
        return _absolute(self.data.dir or os.path.join(self.root_dir, "sample_data"))

    @property
    def feature_store_dir(self) -> str:
        """The feature store as an absolute path or URI."""
        return _absolute(self.feature_extractor.store or os.path.join(self.root_dir, "store", "features"))


def load(path: str | os.PathLike | Sequence[str | os.PathLike] | None = None, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration.

    Args:
      path: a YAML file, or several, of which a later one wins; None for the built-in sample's.
      overrides: `key.key=value`, where the value is YAML: "trainer.epochs=3", "data.limit=null".

    Raises:
      ConfigError: the file can't be read, a key is unknown, or a value is of the wrong type or out of range.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else path or [SAMPLE]
    tree: dict[str, Any] = {}
    for each in paths:
        _merge(tree, _read(pathlib.Path(each)))
    for override in overrides:
        _override(tree, override)
    try:
        return pydantic.TypeAdapter(Config).validate_python(_without_null(tree))
    except pydantic.ValidationError as error:
        raise ConfigError("; ".join(_readable(fault) for fault in error.errors())) from None


def check_paths(config: Config) -> None:
    """Refuses paths that are not there, before anything runs.

    Raises:
      ConfigError: naming the setting.
    """
    for name, path in {"root": config.root_dir, "data.dir": config.data.dir or ""}.items():
        if "://" in path:
            raise ConfigError(
                f"{name}: {path} is no directory; mount the bucket, and give the path where it is mounted"
            )
    # a span, data/day-{SPAN}, is found when the ingest runs
    if config.data.dir is not None and "{SPAN}" not in config.data.dir and not os.path.isdir(config.data.dir):
        raise ConfigError(f"data.dir: {config.data.dir} is not a directory")
    weights = config.feature_extractor.weights
    if weights not in ("imagenet", "random") and not os.path.isfile(weights):
        raise ConfigError(f"feature_extractor.weights: {weights} is not a file; give a path, imagenet or random")
    if os.path.exists(config.root_dir) and not os.path.isdir(config.root_dir):
        raise ConfigError(f"root: {config.root_dir} is not a directory")
    if set(config.root_dir) & set("*?[]"):  # TFX and TensorFlow find files by patterns
        raise ConfigError(f"root: {config.root_dir} has one of the characters *?[] in it")


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as plain data, defaults included."""
    return dataclasses.asdict(config)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: not a mapping of settings")
    return tree


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    """Lays other settings over a tree, section by section."""
    for key, value in other.items():
        below = tree.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            _merge(below, value)
        else:
            tree[key] = value


def _without_null(tree: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what is null: it keeps its default."""
    return {
        key: _without_null(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one value in a tree of settings."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write key=value, as in --set trainer.epochs=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: {error}") from None
    *parents, last = key.split(".")
    for parent in parents:
        branch = tree.get(parent)
        if not isinstance(branch, dict):
            branch = tree[parent] = {}  # also for a section that the file leaves empty
        tree = branch
    tree[last] = value


def _readable(fault: Any) -> str:
    """One line for one fault that pydantic found."""
    path = [str(part) for part in fault["loc"]]
    where = ".".join(path)
    if fault["type"] == "unexpected_keyword_argument":
        known = _keys(path[:-1])
        close = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return f"unknown key {where}; {hint}"
    return f"{where}: {fault['msg']}" + ("" if fault["type"] == "value_error" else f", not {fault['input']!r}")


def _keys(path: Sequence[str]) -> list[str]:
    """The keys of the section at a path."""
    section: Any = Config()
    for name in path:
        section = getattr(section, name)
    return [field.name for field in dataclasses.fields(section)]
