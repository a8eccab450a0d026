"""The Pusher's driver: observes which version is served, and its content."""

import hashlib
import os
import uuid
from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types

from components.pusher import executor, push
from components.shared import storage
from components.shared.code_identity import code_identity
from components.shared.contents import describe, digest
from components.shared.driver import ObservingDriver
from components.shared.records import FINGERPRINT


class Driver(ObservingDriver):
    """Pushes again into a serving directory that was emptied or changed."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        base_directory = executor.base_directory_of(execution_info.exec_properties)
        version = push.newest_version(base_directory)
        if version is None:  # never cached
            served = uuid.uuid4().hex
        else:
            served = f"{version} {_state(os.path.join(base_directory, version))[:16]}"
        return {FINGERPRINT: f"{served} {code_identity(executor.__name__)}"}


def _state(directory: str) -> str:
    """A hash that changes with the content; in a bucket it costs a listing alone."""
    return (
        digest(directory) if storage.is_local(directory) else hashlib.sha256(describe(directory).encode()).hexdigest()
    )
