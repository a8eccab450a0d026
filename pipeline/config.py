"""The settings of a pipeline: the steps' own settings in one frozen tree.

A tree is read from YAML files and `key=value` overrides by `pipeline.config_files`. The defaults are the reference
model on a dataset of your own; what a file leaves out, or sets to null, keeps them.
"""

import dataclasses
import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.caption_ingest.settings import CaptionIngestSettings
from components.example_validator.settings import ExampleValidatorSettings
from components.exporter.settings import DecodingSettings
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.settings import STRICT, UserPath
from components.tokenizer.settings import TokenizerSettings
from components.trainer.settings import TrainerSettings
from pipeline import metadata_uri
from pipeline.errors import UserError
from pipeline.paths import Paths, default_root


class ConfigError(UserError):
    """The settings can't be used; the message says which and why."""


_BUCKET_SCHEMES = {"s3", "s3a", "gs"}


@dataclass(frozen=True, config=STRICT)
class SampleSettings:
    """The built-in dataset, generated when `data.dir` is not set."""

    num_images: PositiveInt = 500
    """Number of synthetic images."""
    seed: int = 7
    """Seed of the synthetic scenes."""
    language: Literal["en", "zh"] = "en"
    """Language of the captions: English or Chinese."""


@dataclass(frozen=True, config=STRICT)
class DataSettings(CaptionIngestSettings, ExampleValidatorSettings):
    """Input data and its validation."""

    sample: SampleSettings = SampleSettings()
    """The built-in sample."""


BeamStep = Literal["CaptionIngest", "StatisticsGen", "FeatureExtractor", "Transform"]


@dataclass(frozen=True, config=STRICT)
class BeamSettings:
    """Beam runner and its options."""

    pipeline_args: tuple[str, ...] = ()
    """Beam pipeline options of all Beam steps, TFX's `beam_pipeline_args`."""
    step_args: dict[BeamStep, tuple[str, ...]] = Field(default_factory=dict)
    """Step -> further options of it, which override those of all steps."""


@dataclass(frozen=True, config=STRICT)
class ResourceSettings:
    """Container resources of a step; null leaves a value to the cluster."""

    cpu: str | None = None
    """CPU request and limit, as in `500m` or `4`."""
    memory: str | None = None
    """Memory request and limit, as in `8Gi`."""
    gpu: NonNegativeInt = 0
    """Number of GPUs."""
    gpu_type: str = "nvidia.com/gpu"
    """Resource name of the GPUs."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that may run the step."""
    retries: NonNegativeInt = 2
    """Number of retries of a failed step."""
    timeout: PositiveInt | None = None
    """Maximum duration of the step in seconds."""


@dataclass(frozen=True, config=STRICT)
class DatabaseSettings:
    """ML Metadata in MariaDB or MySQL; user and password come from a Secret with the keys `user` and `password`."""

    host: str = "captions-metadata"
    """Host name of the database server."""
    port: PositiveInt = 3306
    """Port of the database server."""
    name: str = "captions_metadata"
    """Name of the database."""
    secret: str = "captions-metadata"
    """Name of the Secret with user and password."""


def _default_step_resources() -> dict[str, ResourceSettings]:
    return {
        "FeatureExtractor": ResourceSettings(cpu="4", memory="6Gi"),
        "Trainer": ResourceSettings(cpu="4", memory="8Gi"),
    }


EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|PRIVATE_KEY|API_KEY|METADATA_USER", re.IGNORECASE)


def _without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """Refuses variables that are secrets by their names, unless they name a file, and URLs with a password in them."""
    secrets = [
        name
        for name, value in environment.items()
        if (_SECRET.search(name) and not name.endswith("_FILE")) or re.search(r"://[^/]*@", value)
    ]
    if secrets:
        raise ValueError(
            f"{', '.join(secrets)} would be readable in the compiled pipeline; put credentials into the Secret of "
            "kubeflow.storage_secret, and name them in kubeflow.storage_secret_keys"
        )
    return environment


@dataclass(frozen=True, config=STRICT)
class KubeflowSettings:
    """Deployment on Kubeflow Pipelines."""

    image: str = "captions:latest"
    """Image of the steps, built from kubeflow/Dockerfile, with its registry."""
    pvc_name: str | None = "captions"
    """PersistentVolumeClaim (ReadWriteMany) that every step mounts; null or "" mounts none, for root and data in a
    bucket."""
    mount_path: str = "/captions"
    """Directory where the steps mount the claim."""
    storage_secret: str | None = None
    """Secret with credentials for the bucket; null: the steps have them from elsewhere, as from `service_account`."""
    storage_secret_keys: tuple[EnvironmentName, ...] = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    """Keys of `storage_secret`, each the environment variable of its name; GOOGLE_APPLICATION_CREDENTIALS is the
    content of a key file, which is mounted."""
    service_account: str | None = None
    """Kubernetes service account of the steps, as for IRSA or workload identity; null: that of Kubeflow Pipelines."""
    environment: Annotated[dict[EnvironmentName, str], AfterValidator(_without_secrets)] = Field(default_factory=dict)
    """Further environment variables of the steps, as AWS_ENDPOINT_URL_S3, AWS_REGION and CAPTION_PIPELINE_CACHE_GIB."""
    database: DatabaseSettings = DatabaseSettings()
    """Where ML Metadata is kept, unless `metadata` names another database; user and password are from its Secret."""
    default_resources: ResourceSettings = ResourceSettings(cpu="1", memory="4Gi")
    """Resources of the steps that `step_resources` does not name."""
    step_resources: dict[str, ResourceSettings] = Field(default_factory=_default_step_resources)
    """Step -> its resources, instead of `default_resources`. What a config names is merged over these; null removes a
    step. `Trainer` also covers `Trainer_gru`, unless that is named itself."""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of the whole pipeline."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=63)] = "captions"
    """Name of the pipeline in ML Metadata and on a cluster."""
    root: UserPath | None = None
    """Directory or URI (`s3://bucket/captions`) for everything that is written; null: runs/<name>."""
    cache: bool = True
    """Whether steps with unchanged inputs, settings and code reuse the outputs of an earlier run."""
    metadata: Annotated[str, AfterValidator(metadata_uri.check)] | None = None
    """ML Metadata: `sqlite:///PATH` (four slashes before an absolute path), or `mysql://HOST[:PORT]/DATABASE`, with
    user and password in the environment (`METADATA_USER`, `METADATA_PASSWORD`); null: a file of SQLite in the root."""
    data: DataSettings = DataSettings()
    """Input data and its validation."""
    tokenizer: TokenizerSettings = TokenizerSettings()
    """Vocabulary and caption length."""
    feature_extractor: FeatureExtractorSettings = FeatureExtractorSettings()
    """The frozen backbone that turns images into features."""
    trainer: TrainerSettings = TrainerSettings()
    """Model and training."""
    decoding: DecodingSettings = DecodingSettings()
    """Decoding of captions."""
    evaluator: BleuEvaluatorSettings = BleuEvaluatorSettings()
    """Criteria for blessing a model."""
    beam: BeamSettings = BeamSettings()
    """Beam runner and its options."""
    kubeflow: KubeflowSettings = KubeflowSettings()
    """Deployment on Kubeflow Pipelines."""

    @property
    def root_dir(self) -> str:
        """The root as an absolute path or URI."""
        return _absolute(self.root or default_root(self.name))

    @property
    def paths(self) -> Paths:
        """The places below the root."""
        return Paths(self.root_dir)

    @property
    def metadata_uri(self) -> str | None:
        """The URI of ML Metadata; None where the root is in a bucket and no database is named."""
        if self.metadata is None and "://" in self.root_dir:
            return None
        return self.metadata or self.paths.metadata_uri

    @property
    def data_dir(self) -> str:
        """The data directory as an absolute path or URI; the sample's is below the root."""
        return _absolute(self.data.dir or self.paths.sample_data)

    @property
    def feature_store_dir(self) -> str:
        """The feature store as an absolute path or URI."""
        return _absolute(self.feature_extractor.store_dir or self.paths.feature_store)


def check_metadata(config: Config) -> str:
    """The URI of ML Metadata.

    Raises:
      ConfigError: the root is in a bucket, which has no place for a file of SQLite, and no database is named.
    """
    if config.metadata_uri is None:
        raise ConfigError(
            f"metadata: {config.root_dir} is in a bucket, where SQLite can't write: set metadata=sqlite:///PATH, a "
            "file on this machine, or metadata=mysql://HOST/DATABASE, a server for all machines"
        )
    return config.metadata_uri


def check_paths(config: Config) -> None:
    """Refuses paths that do not exist, or can't be read, before anything runs.

    A backbone's weights are its source's to check.

    Raises:
      ConfigError: naming the setting.
    """
    check_metadata(config)
    check_uris(config)
    from components.shared import storage  # takes longer to load than all settings

    written = {"root": config.root_dir, "feature_extractor.store_dir": config.feature_store_dir}
    try:
        # a span, data/day-{SPAN}, is resolved when the ingest runs
        data_dir = config.data.dir
        if data_dir is not None and "{SPAN}" not in data_dir and not storage.is_directory(config.data_dir):
            raise ConfigError(f"data.dir: {data_dir} is not a directory")
        for name, path in written.items():
            if (entry := storage.stat(path)) is not None and not entry.is_directory:
                raise ConfigError(f"{name}: {path} is not a directory")
    except (OSError, ValueError) as error:  # a bucket that is not there, can't be read, or needs a package
        raise ConfigError(str(error)) from None
    check_patterns(config)
    check_engines(config)


def check_engines(config: Config) -> None:
    """Refuses an engine for TFX's own steps where artifacts are in a bucket, which they do not read.

    Raises:
      ConfigError: naming the setting.
    """
    for step in sorted(config.beam.step_args.keys() & {"StatisticsGen", "Transform"}):
        if "://" in config.root_dir:
            raise ConfigError(
                f"beam.step_args: {step} runs where the run is, since the root is in a bucket; leave its options out"
            )


def check_patterns(config: Config) -> None:
    """Refuses directories whose names TFX and TensorFlow, which find files by patterns, would take for a pattern.

    Raises:
      ConfigError: naming the setting.
    """
    for name, path in {"root": config.root_dir, "feature_extractor.store_dir": config.feature_store_dir}.items():
        if set(path) & set("*?[]"):
            raise ConfigError(f"{name}: {path} must not contain *, ?, [ or ]")


def check_uris(config: Config) -> None:
    """Refuses URIs that stores and their clients take for different places, and data that a run writes among.

    Raises:
      ConfigError: naming the setting.
    """
    stated = {
        "data.dir": config.data.dir,
        "root": config.root,
        "feature_extractor.store_dir": config.feature_extractor.store_dir,
    }
    for name, path in stated.items():
        scheme, _, place = (path or "").partition(":/")
        if scheme in _BUCKET_SCHEMES and (
            not place.startswith("/") or {"", ".", ".."}.intersection(place[1:].rstrip("/").split("/"))
        ):
            raise ConfigError(f"{name}: {path} must be {scheme}://BUCKET/PREFIX, without //, . or .. in it")
    for name, path in {"root": config.root_dir, "feature_extractor.store_dir": config.feature_store_dir}.items():
        if config.data.dir and "://" in config.data_dir and f"{path}/".startswith(f"{config.data_dir}/"):
            raise ConfigError(
                f"data.dir: {config.data_dir} has {path} in it, and what a run writes there would be read as data: set "
                f"data.dir to a prefix of the images and captions alone, or {name} to one beside it"
            )


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as plain data, defaults included."""
    return dataclasses.asdict(config)


def _absolute(path: str) -> str:
    return path.rstrip("/") if "://" in path else os.path.abspath(path)
