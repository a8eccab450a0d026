"""The real pipeline on the debug config, with its root and its data in a bucket."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.fork_server import ForkServer
from components.shared import scenes, storage
from pipeline import sample_data
from pipeline.paths import Paths
from tests.factories import ROOT

SEED, NUM_IMAGES = 7, 60
PASSWORD = f"password-{uuid.uuid4().hex}"  # of a database, in the environment of every command


class BucketSandbox:
    """A bucket, and the disk of a machine: home, temporary files, working directory, node cache and ML Metadata."""

    def __init__(self, directory: pathlib.Path, bucket: str, environment: Mapping[str, str]):
        """Uploads the data.

        Args:
          directory: where the machine's directories are made.
          bucket: URI of an empty place, which the process's own environment leads to as well.
          environment: the variables that lead to the store.
        """
        self.bucket, self.data, self.paths = bucket, f"{bucket}/data", Paths(f"{bucket}/captions")
        self.disk, self.metadata = directory / "disk", directory / "disk" / "metadata.sqlite"
        places = {"HOME": "home", "TMPDIR": "tmp", "CAPTION_PIPELINE_CACHE": "cache"}
        # the provider's variables of this process's environment would be another way to the store
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "TF_CPP_", "XDG_"))}
        own = {name: str(self.disk / place) for name, place in places.items()}
        self.environment = kept | own | environment | {"METADATA_USER": "captions", "METADATA_PASSWORD": PASSWORD}
        self.working = self.disk / "work"
        for place in (*places.values(), self.working.name):
            (self.disk / place).mkdir(parents=True)
        self._program = directory / "program.py"  # the working directory is no checkout
        self._program.write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pipeline.cli.main import main\nsys.exit(main())\n"
        )
        sample_data.ensure(self.data, NUM_IMAGES, SEED)

    def arguments(self, name: str, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
        """The arguments of a command about this pipeline."""
        own = [f"root={self.paths.root}", f"metadata=sqlite:///{self.metadata}", f"data.dir={self.data}"]
        return [name, "--config", "debug", *arguments, "--set", *own, *settings]

    def start(self, arguments: Sequence[str]) -> subprocess.Popen:
        """Starts the program as a user does."""
        command = [sys.executable, str(self._program), *arguments]
        return subprocess.Popen(
            command, cwd=self.working, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def execute(
        self, fork_server: ForkServer, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """Executes the program in a process that has loaded TFX."""
        variables = self.environment if environment is None else environment
        return fork_server.run([str(self._program), *arguments], self.working, variables)

    def run(self, fork_server: ForkServer, *arguments: str, settings: Sequence[str] = ()) -> dict:
        """Runs the pipeline; the summary, with what was printed as `out`."""
        run = self.execute(fork_server, self.arguments("run", *arguments, settings=settings))
        assert run.returncode == 0, run.stdout + run.stderr
        return self.summary() | {"out": run.stdout + run.stderr}

    def summary(self) -> dict:
        """The summary of the last run."""
        return json.loads(storage.read_text(self.paths.summary))

    def add_images(self, number: int) -> None:
        """Adds images to the data, all of them in train."""
        text = f"{self.data}/{sample_data.TEXT}"
        # not multiples of 10 less 2 or 1, which the sample gives to eval and test
        indices = [index for index in range(NUM_IMAGES, 2 * NUM_IMAGES) if index % 10 < 8][:number]
        for index in indices:
            image = f"{self.data}/{sample_data.IMAGES}/{sample_data.name(SEED, index)}"
            storage.write_bytes(image, scenes.jpeg(SEED, index))
        names = "".join(f"{sample_data.name(SEED, index)}\n" for index in indices)
        lines = "".join(
            f"{sample_data.name(SEED, index)}#{number}\t{sentence}\n"
            for index in indices
            for number, sentence in enumerate(scenes.sentences(SEED, index))
        )
        for file, added in (("Flickr_8k.trainImages.txt", names), ("Flickr8k.token.txt", lines)):
            storage.write_text(f"{text}/{file}", storage.read_text(f"{text}/{file}") + added)

    def versions(self) -> list[str]:
        """The versions in the serving directory."""
        return storage.list_names(self.paths.serving)

    def files(self) -> set[str]:
        """The files on the disk, by their paths relative to it."""
        return {str(path.relative_to(self.disk)) for path in self.disk.rglob("*") if not path.is_dir()}

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yields all files on the disk and all objects in the bucket: name, bytes."""
        for name in sorted(self.files()):
            yield name, (self.disk / name).read_bytes()
        for name in storage.list_files(self.bucket):
            yield f"{self.bucket}/{name}", storage.read_bytes(f"{self.bucket}/{name}")


def hash_of(directory: str) -> dict[str, str]:
    """File -> SHA-256, of a directory on a disk or in a bucket."""
    return {
        name: hashlib.sha256(storage.read_bytes(f"{directory}/{name}")).hexdigest()
        for name in storage.list_files(directory)
    }
