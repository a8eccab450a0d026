"""Pusher: TFX's with our driver and executor."""

from tfx import components
from tfx.dsl.components.base import executor_spec

from components.pusher import driver, executor


class Pusher(components.Pusher):
    """Pushes a blessed model into a new version directory, unless the newest version already is that model.

    Output: `pushed_model`, with the custom properties `pushed` (1 if this run pushed), `pushed_destination` and
    `pushed_version`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver
