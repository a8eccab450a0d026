"""Pusher: TFX's Pusher with our executor."""

import uuid
from typing import Any

from tfx import components
from tfx.dsl.components.base import executor_spec

from components.driver import FingerprintDriver
from components.pusher import executor, push
from components.source import source_hash


class Driver(FingerprintDriver):
    """Fingerprints the destination, so that a push is made up for when somebody has emptied it."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        # an empty destination is never answered from the cache
        version = push.newest_version(executor.base_directory_of(exec_properties)) or uuid.uuid4().hex
        return f"{version} {source_hash('components.pusher')}"


class Pusher(components.Pusher):
    """Pushes a blessed model into a new version directory; a model that is the newest version already is left as it is.

    Output: `pushed_model`, with the custom properties `pushed` (1 if this run pushed), `pushed_destination` and
    `pushed_version`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = Driver
