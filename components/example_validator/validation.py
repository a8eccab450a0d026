"""Validates statistics against the schema, against those of eval, and against those of the previous data."""

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping, Sequence

import tensorflow_data_validation as tfdv
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.shared.records import EVAL, TRAIN

WIDTH = 110  # columns of the printed table
# anomalies of the schema's drift and skew comparators; all others are violations of the schema
_COMPARATORS = {number for name, number in anomalies_pb2.AnomalyInfo.Type.items() if name.startswith("COMPARATOR_")}
SKEW, DRIFT = "train and eval differ", "train and the previous train differ"
FEW_IMAGES = 1000  # of train, below which splits of the same data differ by chance


class InvalidDataError(ValueError):
    """The data violates the schema, or has drifted where that is to fail."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One anomaly of one feature.

    Attributes:
      split: the split with the anomaly.
      feature: the feature; "(all)" for the dataset.
      kind: SKEW or DRIFT, or TFDV's short description.
      detail: by how much, or TFDV's description.
      num_invalid: number of the split's images that violate the schema; None where no single one does, as with drift.
      num_images: number of the split's images.
      is_error: whether the data is invalid, and not only different.
    """

    split: str
    feature: str
    kind: str
    detail: str
    num_invalid: int | None
    num_images: int
    is_error: bool

    def __str__(self) -> str:
        if self.kind in (SKEW, DRIFT):
            return f"{self.kind} in {self.feature}: {self.detail}"
        return f"{self.split}: {self.feature}: {self.kind}: {self.detail}"


def validate(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    schema: schema_pb2.Schema,
    previous: statistics_pb2.DatasetFeatureStatisticsList | None,
) -> dict[str, anomalies_pb2.Anomalies]:
    """Validates each split.

    Args:
      statistics: split -> its statistics.
      schema: the schema, with drift comparators (train against the previous train) and skew comparators (train against
        eval).
      previous: the statistics of the previous data's train split; None if there is none.

    Returns:
      split -> TFDV's anomalies.
    """
    return {
        split: tfdv.validate_statistics(
            split_statistics,
            schema,
            previous_statistics=previous if split == TRAIN else None,
            serving_statistics=statistics.get(EVAL) if split == TRAIN else None,
        )
        for split, split_statistics in statistics.items()
    }


def find_problems(
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    count: Callable[[str, Collection[str]], Mapping[str, int]],
) -> list[Problem]:
    """Lists all anomalies, errors first.

    Args:
      anomalies: split -> TFDV's anomalies.
      statistics: split -> its statistics.
      count: counts the images of a split that violate the schema: (split, features) -> {feature: number}. It is not
        called where there is nothing but drift and skew.
    """
    problems = []
    for split in sorted(anomalies):
        num_images = sum(dataset.num_examples for dataset in statistics[split].datasets)
        infos = sorted(anomalies[split].anomaly_info.items())
        if anomalies[split].HasField("dataset_anomaly_info"):
            infos.append(("(all)", anomalies[split].dataset_anomaly_info))
        reasons = [(feature, info, reason) for feature, info in infos for reason in info.reason]
        invalid_features = {feature for feature, _, reason in reasons if reason.type not in _COMPARATORS}
        num_invalid = count(split, invalid_features) if invalid_features else {}
        for feature, info, reason in reasons:
            is_comparison = reason.type in _COMPARATORS
            is_error = info.severity == anomalies_pb2.AnomalyInfo.ERROR and not is_comparison
            number = None if is_comparison else num_invalid.get(feature) or None
            kind, detail = _difference(anomalies[split], feature, reason, int(num_images)) or (
                reason.short_description,
                reason.description,
            )
            problems.append(Problem(split, feature, kind, detail, number, int(num_images), is_error))
    return sorted(problems, key=lambda problem: not problem.is_error)


def _difference(
    anomalies: anomalies_pb2.Anomalies, feature: str, reason: anomalies_pb2.AnomalyInfo.Reason, num_images: int
) -> tuple[str, str] | None:
    """(kind, detail) of a feature whose distributions differ, in this project's words; None for other anomalies."""
    if reason.type != anomalies_pb2.AnomalyInfo.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH:
        return None
    is_skew = "serving" in reason.description  # TFDV's word for what train is compared with in the same run
    for info in anomalies.drift_skew_info:
        measurements = info.skew_measurements if is_skew else info.drift_measurements
        if list(info.path.step) == [feature] and measurements:
            value, limit = measurements[0].value, measurements[0].threshold
            hint = "; normal for few images" if num_images < FEW_IMAGES else ""
            text = f"Jensen-Shannon divergence {value:.2f}, limit {limit:g}{hint}; see docs/data.md#validation"
            return (SKEW if is_skew else DRIFT), text
    return None


def check(problems: Sequence[Problem], on_drift: str) -> None:
    """Fails where the data must not go on.

    Args:
      problems: the problems of `find_problems`.
      on_drift: "fail" if drift and skew are to fail, too.

    Raises:
      InvalidDataError: with a table of all problems.
    """
    num_errors = sum(problem.is_error for problem in problems)
    if num_errors:
        raise InvalidDataError(f"the data violates the schema (anomalies: {num_errors}):\n{table(problems)}")
    if problems and on_drift == "fail":
        raise InvalidDataError(
            f"drift or skew exceeds the schema's thresholds (anomalies: {len(problems)}; "
            f"data.on_drift=warn only warns):\n{table(problems)}"
        )


def table(problems: Sequence[Problem]) -> str:
    """Formats the problems as a table."""
    rows = Table("split", "images", "feature", "problem", "detail", box=None, pad_edge=False)
    for problem in problems:
        images = f"{'–' if problem.num_invalid is None else problem.num_invalid} of {problem.num_images}"
        cells = problem.split, images, problem.feature, problem.kind, problem.detail
        rows.add_row(*map(Text, cells))
    buffer = io.StringIO()
    Console(file=buffer, width=WIDTH).print(rows)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
