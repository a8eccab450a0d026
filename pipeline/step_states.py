"""The steps of a run and how they are doing. Nothing heavy is imported: the console needs it before TFX is loaded."""

import dataclasses
import enum


class State(str, enum.Enum):
    """How a step is doing."""

    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    UNCHANGED = "unchanged"  # it ran, and found that there was nothing to decide or to push
    FAILED = "failed"
    SKIPPED = "skipped"  # before --from or after --to


@dataclasses.dataclass
class Step:
    """One node of a run."""

    id: str
    state: State = State.SKIPPED
    seconds: float = 0.0
