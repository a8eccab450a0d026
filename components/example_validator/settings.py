"""Settings of ExampleValidator."""

from typing import Literal

from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT


@dataclass(frozen=True, config=STRICT)
class ExampleValidatorSettings:
    """Handling of data that is valid but different."""

    on_drift: Literal["warn", "fail"] = "warn"
    """What to do when drift or skew exceeds the schema's thresholds."""
