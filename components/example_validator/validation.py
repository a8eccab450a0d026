"""Statistics against the schema, against those of eval, and against those of the data before."""

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping, Sequence

import tensorflow_data_validation as tfdv
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.records import EVAL, TRAIN

WIDTH = 110  # columns of the printed table
# anomalies of the schema's drift and skew comparators; all others say that the data is wrong
_COMPARATORS = {number for name, number in anomalies_pb2.AnomalyInfo.Type.items() if name.startswith("COMPARATOR_")}


class InvalidData(ValueError):
    """The data breaks the schema."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One anomaly of one feature.

    Attributes:
      split: where it was found.
      feature: which; "(all)" for the data set.
      what: the kind.
      detail: what exactly.
      bad: how many of the split's pictures are at fault; None where none is by itself, as of drift.
      pictures: how many the split has.
      is_error: the data is wrong, and not only other than before.
    """

    split: str
    feature: str
    what: str
    detail: str
    bad: int | None
    pictures: int
    is_error: bool

    def __str__(self) -> str:
        return f"{self.split}: {self.feature}: {self.what}: {self.detail}"


def validate(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    schema: schema_pb2.Schema,
    previous: statistics_pb2.DatasetFeatureStatisticsList | None,
) -> dict[str, anomalies_pb2.Anomalies]:
    """Validates each split.

    Args:
      statistics: split -> its statistics.
      schema: with drift comparators (train against the train split before) and skew comparators (train against eval).
      previous: of the train split of the data before this; None if there is none.

    Returns:
      split -> what TFDV found.
    """
    return {
        split: tfdv.validate_statistics(
            found,
            schema,
            previous_statistics=previous if split == TRAIN else None,
            serving_statistics=statistics.get(EVAL) if split == TRAIN else None,
        )
        for split, found in statistics.items()
    }


def problems(
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    count: Callable[[str, Collection[str]], Mapping[str, int]],
) -> list[Problem]:
    """All anomalies, errors first.

    Args:
      anomalies: split -> what TFDV found.
      statistics: split -> its statistics.
      count: (split, features) -> for each of the features, how many of the split's pictures break its rules; not asked
        where there is nothing but drift and skew.
    """
    found = []
    for split in sorted(anomalies):
        pictures = sum(dataset.num_examples for dataset in statistics[split].datasets)
        infos = sorted(anomalies[split].anomaly_info.items())
        if anomalies[split].HasField("dataset_anomaly_info"):
            infos.append(("(all)", anomalies[split].dataset_anomaly_info))
        reasons = [(feature, info, reason) for feature, info in infos for reason in info.reason]
        at_fault = {feature for feature, _, reason in reasons if reason.type not in _COMPARATORS}
        bad = count(split, at_fault) if at_fault else {}
        for feature, info, reason in reasons:
            is_comparison = reason.type in _COMPARATORS
            is_error = info.severity == anomalies_pb2.AnomalyInfo.ERROR and not is_comparison
            number = None if is_comparison else bad.get(feature) or None
            what, detail = reason.short_description, reason.description
            found.append(Problem(split, feature, what, detail, number, int(pictures), is_error))
    return sorted(found, key=lambda problem: not problem.is_error)


def check(found: Sequence[Problem], on_drift: str) -> None:
    """Stops the run.

    Args:
      found: of `problems`.
      on_drift: "stop" if changed data is to stop it, too.

    Raises:
      InvalidData: with a table of all problems.
    """
    errors = [problem for problem in found if problem.is_error]
    if errors:
        raise InvalidData(f"the data breaks the schema in {len(errors)} places:\n{table(found)}")
    if found and on_drift == "stop":
        raise InvalidData(
            f"the data is other than the schema's comparators allow, in {len(found)} places "
            f"(data.on_drift=warn goes on):\n{table(found)}"
        )


def table(found: Sequence[Problem]) -> str:
    """The problems for people."""
    rows = Table("split", "pictures", "feature", "what", "detail", box=None, pad_edge=False)
    for problem in found:
        pictures = f"{'–' if problem.bad is None else problem.bad} of {problem.pictures}"
        cells = problem.split, pictures, problem.feature, problem.what, problem.detail
        rows.add_row(*map(Text, cells))
    buffer = io.StringIO()
    Console(file=buffer, width=WIDTH).print(rows)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
