"""Version directories in a bucket, where nothing can be locked or renamed.

BASE/VERSION/…                       a model, which counts from the moment it has its `saved_model.pb`: that comes last
BASE/.VERSION.MACHINE.PID.ID.partial a claim, while a push is in progress: no other push takes the number
"""

import functools
import hashlib
import os
import random
import re
import socket
import time
import uuid
from collections.abc import Collection

from components.shared import storage
from components.shared.contents import are_equal
from components.shared.storage_entry import Entry

SAVED_MODEL = "saved_model.pb"
CLAIM = re.compile(r"\.(?P<version>\d+)\.(?P<machine>\w+)\.(?P<pid>\d+)\.\w+\.partial")
MAX_PUSH_SECONDS = 3600  # after which the push of another machine counts as killed, if it writes nothing


def newest_version(base: str) -> str | None:
    """The name of the newest complete version; None if there is none."""
    versions = sorted((name for name in storage.list_names(base) if name.isdecimal()), key=int, reverse=True)
    return next((name for name in versions if storage.exists(os.path.join(base, name, SAVED_MODEL))), None)


def push(model_dir: str, base: str) -> tuple[str, bool]:
    """Makes a model the newest version, unless it already is; see `push.push`."""
    remove_leftovers(base)
    newest = newest_version(base)
    if newest is not None and are_equal(model_dir, os.path.join(base, newest)):
        return newest, False
    version, claim = _claim(base)
    target = os.path.join(base, version)
    try:
        storage.copy_tree(model_dir, target, last=[SAVED_MODEL])
    except BaseException:
        storage.remove(target)
        raise
    finally:
        storage.remove(claim)
    return version, True


def remove_leftovers(base: str) -> None:
    """Deletes what killed pushes have left: incomplete versions, and then the claims on their numbers."""
    entries = {}
    if any(map(CLAIM.fullmatch, storage.list_names(base))):
        entries = storage.list_entries(base)
    for name, entry in entries.items():
        claim = CLAIM.fullmatch(name)
        if claim is None:
            continue
        files = {path: file for path, file in entries.items() if path.startswith(f"{claim['version']}/")}
        if _is_abandoned(claim, [entry, *files.values()]):
            if f"{claim['version']}/{SAVED_MODEL}" not in files:
                storage.remove(os.path.join(base, claim["version"]))
            storage.remove(os.path.join(base, name))


def _claim(base: str) -> tuple[str, str]:
    """Takes a number that is higher than all others, whatever the clock says.

    Who claims a number looks at the other claims only afterwards: so of two that claim the same one, at least one sees
    the other and retreats.

    Returns:
      the number, and the URI of the claim.
    """
    number = int(time.time())
    taken = _numbers(storage.list_names(base))
    while True:
        number = max([number, *(other + 1 for other in taken)])
        name = f".{number}.{_machine()}.{os.getpid()}.{uuid.uuid4().hex}.partial"
        claim = os.path.join(base, name)
        storage.write_text(claim, "")
        taken = _numbers([other for other in storage.list_names(base) if other != name])
        if number not in taken:
            return str(number), claim
        storage.remove(claim)
        number += random.randrange(1, 16)  # not the same as the other one, which retreats, too


def _numbers(names: Collection[str]) -> set[int]:
    """The numbers of versions, complete or not, and those that are claimed."""
    claims = filter(None, map(CLAIM.fullmatch, names))
    return {int(name) for name in names if name.isdecimal()} | {int(claim["version"]) for claim in claims}


def _is_abandoned(claim: re.Match[str], files: Collection[Entry]) -> bool:
    """Whether the process that made a claim is dead, as far as it can be known here.

    Args:
      claim: the claim.
      files: its entry, and those of the version's files.
    """
    if claim["machine"] != _machine():
        return time.time() - max(entry.mtime for entry in files) > MAX_PUSH_SECONDS
    return not os.path.exists(f"/proc/{claim['pid']}")


@functools.cache
def _machine() -> str:
    """A name for where a process ID means something: this boot of this machine, in this container."""
    parts = [socket.gethostname()]
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            parts.append(file.read())
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    except OSError:  # no Linux
        pass
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
