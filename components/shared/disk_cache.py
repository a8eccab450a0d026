"""A bounded directory on a disk that several processes share: what was used longest ago is deleted first.

DIRECTORY/entries/NAME/    an entry, which never changes; it is complete from the moment it has its name. Its time of
                           modification is when it was last asked for.
DIRECTORY/leases/ID        the names of the entries that a process has asked for; locked as long as the process lives
DIRECTORY/partial/ID/      what the process is writing or deleting
DIRECTORY/writers/NAME     locked while a process writes the entry: others wait for it
DIRECTORY/lock             locked for an instant, where entries are asked for or chosen for deletion

Nothing that a living process has asked for is deleted. Processes may be killed at any moment: the next one removes
what they leave.
"""

import contextlib
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping

from components.shared import locks
from components.shared.progress import LOGGER

_ENTRIES, _LEASES, _PARTIAL, _WRITERS, _LOCK = "entries", "leases", "partial", "writers", "lock"
_NAME = re.compile(r"\w+-\d+")  # of `entry_name`


class DiskFullError(OSError):
    """The disk lacks room, although everything is deleted that nobody uses.

    Attributes:
      free_bytes: the room that there is.
    """

    def __init__(self, free_bytes: int):
        super().__init__(f"{free_bytes} bytes free")
        self.free_bytes = free_bytes


def entry_name(digest: str, num_bytes: int) -> str:
    """The name of an entry. It tells the size, so that one listing measures the directory."""
    return f"{digest}-{num_bytes}"


class DiskCache:
    """The entries of a directory, for one process; it can be used from several threads."""

    def __init__(self, directory: str):
        """Initializes the cache; nothing is created yet.

        Args:
          directory: where the entries lie.
        """
        self.directory = directory
        self._lease = ""  # path of this process's own, which `_keep_lease` makes
        self._asked_for: set[str] = set()
        self._threads = threading.Lock()
        self._has_warned = False

    def path(self, name: str) -> str:
        """Where an entry lies."""
        return self._path(_ENTRIES, name)

    def name_of(self, path: str) -> str | None:
        """The name of the entry that a path lies in; None if it lies elsewhere."""
        base = self._path(_ENTRIES, "")
        return path.removeprefix(base).partition(os.sep)[0] if path.startswith(base) else None

    def ask_for(self, entries: Mapping[str, Callable[[], bool]]) -> list[str]:
        """Protects entries from deletion as long as this process lives, whether they exist or are to be written.

        Args:
          entries: name -> whether the entry is there and complete.

        Returns:
          the names of those that are to be written.
        """
        with self._locked():
            new = entries.keys() - self._asked_for
            with open(self._lease, "a") as file:
                file.writelines(f"\n{name}" for name in new)  # after whatever a full disk has cut
            self._asked_for |= new
            missing = [name for name, is_complete in entries.items() if not is_complete()]
            for name in entries.keys() - set(missing):
                os.utime(self.path(name))
        return missing

    def make_room(self, num_bytes: int, max_bytes: float) -> None:
        """Deletes what was used longest ago and no living process has asked for, as far as room is lacking.

        Args:
          num_bytes: what is to be written now.
          max_bytes: the size that all entries may have; those in use may exceed it.

        Raises:
          DiskFullError: the disk has not got `num_bytes`.
        """
        with self.scratch() as scratch, self._locked():
            in_use = self._in_use()
            entries = [entry for entry in os.scandir(self._path(_ENTRIES)) if _NAME.fullmatch(entry.name)]
            present = {entry.name: entry.stat().st_mtime_ns for entry in entries}
            excess = sum(map(_size, in_use | present.keys())) - max_bytes
            excess = max(excess, num_bytes - shutil.disk_usage(self.directory).free)
            for name in sorted(present.keys() - in_use, key=lambda name: present[name]):
                if excess <= 0:
                    break
                self._move(name, scratch)
                excess -= _size(name)
        used = sum(map(_size, in_use))
        if used > max_bytes and not self._has_warned:
            self._has_warned = True
            used_gib, max_gib = used / 2**30, max_bytes / 2**30
            LOGGER.warning("%s: %.1f GiB are in use, over its limit of %.1f GiB", self.directory, used_gib, max_gib)
        free = shutil.disk_usage(self.directory).free
        if free < num_bytes:
            raise DiskFullError(free)

    @contextlib.contextmanager
    def writing(self, name: str, is_complete: Callable[[], bool]) -> Iterator[str]:
        """Yields a folder to write an entry to, which becomes the entry when the block succeeds.

        Args:
          name: the entry; no other thread or process writes it meanwhile.
          is_complete: whether the entry is there and complete; then "" is yielded, since another has written it.
        """
        with self.scratch() as scratch, self._sole_writer(name):
            if is_complete():
                yield ""
                return
            partial = os.path.join(scratch, "new")
            os.mkdir(partial)
            yield partial
            with self._locked():
                self._move(name, scratch)  # one that is damaged
                os.rename(partial, self.path(name))

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """Yields a new folder, which is deleted at the end, and by the next process if this one is killed."""
        with self._locked():
            folder = self._path(_PARTIAL, os.path.basename(self._lease), uuid.uuid4().hex)
            os.makedirs(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self, names: Collection[str]) -> int:
        """Deletes entries that are damaged, whoever uses them; returns how many there were."""
        with self.scratch() as scratch, self._locked():
            return sum(self._move(name, scratch) for name in names)

    def _path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps all other threads and processes from asking and deleting; this process has a lease then."""
        for name in (_ENTRIES, _LEASES, _PARTIAL, _WRITERS):
            os.makedirs(self._path(name), exist_ok=True)
        with open(self._path(_LOCK), "a"):
            pass
        with self._threads, locks.exclusive(self._path(_LOCK), wait=True):
            if not os.path.exists(self._lease):
                self._remove_leftovers()
                self._keep_lease()
            yield

    def _keep_lease(self) -> None:
        """Creates this process's lease and locks it for good."""
        self._lease, self._asked_for = self._path(_LEASES, uuid.uuid4().hex), set()
        with open(self._lease, "a"):
            pass
        lock = contextlib.ExitStack()  # never closed
        lock.enter_context(locks.exclusive(self._lease, wait=True))
        _KEPT.append(lock)

    def _in_use(self) -> set[str]:
        """The names that living processes have asked for."""
        self._remove_leftovers()
        names: set[str] = set()
        for lease in os.listdir(self._path(_LEASES)):
            with open(self._path(_LEASES, lease)) as file:
                names.update(filter(_NAME.fullmatch, map(str.strip, file)))
        return names

    def _remove_leftovers(self) -> None:
        """Deletes what killed processes have left."""
        for lease in os.listdir(self._path(_LEASES)):
            with locks.exclusive(self._path(_LEASES, lease), if_unsupported=False) as is_dead:
                if is_dead:
                    os.remove(self._path(_LEASES, lease))
        for owner in set(os.listdir(self._path(_PARTIAL))) - set(os.listdir(self._path(_LEASES))):
            shutil.rmtree(self._path(_PARTIAL, owner), ignore_errors=True)
        for name in os.listdir(self._path(_WRITERS)):
            with locks.exclusive(self._path(_WRITERS, name), if_unsupported=False) as is_idle:
                if is_idle:
                    os.remove(self._path(_WRITERS, name))

    @contextlib.contextmanager
    def _sole_writer(self, name: str) -> Iterator[None]:
        path = self._path(_WRITERS, name)
        while True:
            with open(path, "a"):
                pass
            with locks.exclusive(path, wait=True) as is_ours:
                if not is_ours:  # it was deleted before it was locked
                    continue
                try:
                    yield
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(path)
                return

    def _move(self, name: str, scratch: str) -> bool:
        """Moves an entry to a folder that is deleted; False if there is none."""
        try:
            os.rename(self.path(name), os.path.join(scratch, name))
        except FileNotFoundError:
            return False
        return True


_KEPT: list[contextlib.ExitStack] = []  # the locks of this process's leases


def _size(name: str) -> int:
    return int(name.rpartition("-")[2])
