"""The paths of a config as the steps see them: on their volume, in a bucket, or in their image."""

import dataclasses
import os
import posixpath

from pipeline import metadata_uri
from pipeline.config import Config, ConfigError, check_patterns, check_uris
from pipeline.metadata_uri import MysqlDatabase, SqliteFile

BUCKETS = ("s3://", "gs://")  # the object stores that the image can use


def on_cluster(config: Config) -> Config:
    """Returns the config with its root on the steps' volume, and its ML Metadata on a server, unless it names others.

    Raises:
      ConfigError: naming the setting whose path or database the steps can't read or write.
    """
    config = dataclasses.replace(config, metadata=_database(config))
    if config.root is None:
        if not config.kubeflow.pvc_name:
            raise ConfigError(_no_volume("root"))
        config = dataclasses.replace(config, root=default_root(config))
    _check_shared("root", config.root_dir, config)
    if posixpath.normpath(config.root_dir) == posixpath.normpath(config.kubeflow.mount_path):
        raise ConfigError(
            f"root: {config.root} is the volume itself; name a directory on it, as {default_root(config)}"
        )
    _check_shared("feature_extractor.store_dir", config.feature_store_dir, config)
    _check_input("data.dir", config.data_dir, config)
    weights = config.feature_extractor.weights
    if os.sep in weights or os.path.exists(weights):  # else the name of weights that the backbone's source has
        _check_input("feature_extractor.weights", _absolute(weights), config)
    for name in ("spice_dir", "clip_dir"):
        if (path := getattr(config.evaluator, name)) is not None:
            _check_input(f"evaluator.{name}", _absolute(path), config)
    check_patterns(config)
    check_uris(config)
    return config


def _database(config: Config) -> str:
    """The URI of ML Metadata, which the steps share."""
    if config.metadata is None:
        database = config.kubeflow.database
        return str(MysqlDatabase(database.host, database.port, database.name))
    if isinstance(metadata_uri.parse(config.metadata), SqliteFile):
        raise ConfigError(
            "metadata: the steps share no file of SQLite; write mysql://HOST[:PORT]/DATABASE, or null for that of "
            "kubeflow.database"
        )
    return config.metadata


def default_root(config: Config) -> str:
    """The root of a pipeline whose settings name none."""
    return posixpath.join(config.kubeflow.mount_path, config.name)


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _check_input(key: str, path: str, config: Config) -> None:
    """Refuses files or directories that the steps only read, and can't."""
    if config.kubeflow.pvc_name or "://" in path:  # without a volume, the image may have it
        _check_shared(key, path, config)


def _check_shared(key: str, path: str, config: Config) -> None:
    """Refuses a location that not all steps would share."""
    if path.startswith(BUCKETS):
        return
    if "://" in path:
        raise ConfigError(f"{key}: the steps can't use {path}; write {' or '.join(BUCKETS)}, or mount it on the volume")
    if not config.kubeflow.pvc_name:
        raise ConfigError(_no_volume(key))
    if not _is_on_volume(path, config):
        raise ConfigError(_not_on_volume(key, path, config))


def _is_on_volume(path: str, config: Config) -> bool:
    mount = posixpath.normpath(config.kubeflow.mount_path)
    return posixpath.isabs(path) and posixpath.commonpath([posixpath.normpath(path), mount]) == mount


def _no_volume(key: str) -> str:
    return f"{key}: the steps have no volume (kubeflow.pvc_name); set {key}={BUCKETS[0]}BUCKET/NAME, or {BUCKETS[1]}"


def _not_on_volume(key: str, path: str, config: Config) -> str:
    return f"{key}: {path} is not on the steps' volume, which is mounted at {config.kubeflow.mount_path}"
