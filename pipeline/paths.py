"""Every place below a root. No other file spells one."""

import dataclasses
import os

from pipeline.metadata_uri import SqliteFile


@dataclasses.dataclass(frozen=True)
class Paths:
    """The places below a root, which is an absolute path or a URI."""

    root: str

    @property
    def metadata(self) -> str:
        """The SQLite file of ML Metadata."""
        return os.path.join(self.root, "metadata.sqlite")

    @property
    def metadata_uri(self) -> str:
        """The same as a URI."""
        return str(SqliteFile(self.metadata))

    @property
    def owner(self) -> str:
        """The object that ties a root in a bucket to its ML Metadata."""
        return os.path.join(self.root, "metadata.json")

    @property
    def artifacts(self) -> str:
        """The artifacts of the steps: TFX's pipeline root."""
        return os.path.join(self.root, "artifacts")

    @property
    def serving(self) -> str:
        """The directory with a numbered directory per pushed model, which a model server watches."""
        return os.path.join(self.root, "serving")

    @property
    def sample_data(self) -> str:
        """The images and captions of the built-in sample."""
        return os.path.join(self.root, "sample_data")

    @property
    def feature_store(self) -> str:
        """The feature store, unless `feature_extractor.store_dir` names another place."""
        return os.path.join(self.root, "store", "features")

    @property
    def inspection_cache(self) -> str:
        """What the ingest remembers of images that it has inspected."""
        return os.path.join(self.root, "store", "images")

    @property
    def checkpoints(self) -> str:
        """Checkpoints of training runs that were interrupted."""
        return os.path.join(self.root, "store", "checkpoints")

    @property
    def summary(self) -> str:
        """The summary of the last run."""
        return os.path.join(self.root, "summary.json")

    @property
    def statistics(self) -> str:
        """The page that `stats` writes."""
        return os.path.join(self.root, "statistics.html")

    @property
    def scratch(self) -> str:
        """Temporary files of a cluster's steps, where the container's own file system is read-only."""
        return os.path.join(self.root, "scratch")

    def run(self, run_id: str) -> "RunPaths":
        """The places of one run."""
        return RunPaths(os.path.join(self.root, "runs", run_id))


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    directory: str

    @property
    def summary(self) -> str:
        """The run's summary, for programs."""
        return os.path.join(self.directory, "summary.json")

    @property
    def log(self) -> str:
        """The run's full log."""
        return os.path.join(self.directory, "log.txt")


def default_root(pipeline_name: str) -> str:
    """The root of a pipeline whose settings name none, relative to the working directory."""
    return os.path.join("runs", pipeline_name)


def display_path(path: str) -> str:
    """The path relative to the working directory, where that is shorter; a URI as it is."""
    return path if "://" in path else min(path, os.path.relpath(path), key=len)


def root_above(path: str) -> str | None:
    """The nearest root that a path lies in, recognized by its file of ML Metadata; None if there is none."""
    if "://" in path:
        return None
    directory = os.path.abspath(path)
    while directory != os.path.dirname(directory):
        if os.path.isfile(Paths(directory).metadata):
            return directory
        directory = os.path.dirname(directory)
    return None
