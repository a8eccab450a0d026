"""Workers that share no path with the run, as on machines of their own."""

import os
import pathlib
import threading
from collections.abc import Iterable, Sequence

import psutil

from spark import cluster

# hides directories behind empty ones that cannot be written, and gives the worker a directory of its own, on no disk
_SCRIPT = """
own=$1; shift
while [ "$1" != -- ]; do mkdir -p "$1" && mount -t tmpfs -o ro hidden "$1" || exit; shift; done; shift
mount -t tmpfs own "$own" && cd "$own" && mkdir home tmp cache spark && exec "$@"
"""


def wrapper(own: pathlib.Path, hidden: Iterable[pathlib.Path]) -> list[str]:
    """The command that runs another one in a mount namespace, which other processes do not see.

    Args:
      own: a directory whose content is the worker's alone; it is its working directory.
      hidden: directories of which it is to see nothing.
    """
    # as root or not: mounts need a user namespace, where one may make it
    namespace = ["unshare", "--map-root-user", "--mount"]
    return [*namespace, "sh", "-c", _SCRIPT, "sh", str(own), *map(str, hidden), "--"]


def environment(own: pathlib.Path, credentials: dict[str, str]) -> dict[str, str]:
    """The variables of such a worker: its places, and its credentials."""
    return {
        **credentials,
        "HOME": f"{own}/home",
        "TMPDIR": f"{own}/tmp",
        "CAPTION_PIPELINE_CACHE": f"{own}/cache",
        "SPARK_LOCAL_DIRS": f"{own}/spark",
    }


class Observer:
    """Looks at directories with the eyes of the workers while a block runs.

    Attributes:
      seen: (kind of worker, its process id) -> what it saw in these directories.
    """

    def __init__(self, directories: Sequence[pathlib.Path]):
        self._directories = directories
        self.seen: dict[tuple[str, int], set[str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for kind, pid in _workers():
                try:
                    names = [name for path in self._directories for name in os.listdir(f"/proc/{pid}/root{path}")]
                except OSError:  # it has ended
                    continue
                self.seen.setdefault((kind, pid), set()).update(names)


def _workers() -> list[tuple[str, int]]:
    workers = [("executor", pid) for pid in cluster.executors().values()]
    for process in psutil.process_iter(["cmdline", "name"]):
        if "SdkHarness" in " ".join(process.info["cmdline"] or ()):
            workers.append(("python", process.pid))
    return workers
