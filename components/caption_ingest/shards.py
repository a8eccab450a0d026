"""The shards of a data set that are not there, by the names of those that are."""

import collections
import itertools
import re
from collections.abc import Iterable

_NUMBER_OF = re.compile(r"(?<!\d)(\d+)-of-(\d+)(?!\d)")


def missing_shards(names: Iterable[str]) -> dict[str, str]:
    """Finds what is missing of data sets whose files say how many they are.

    Args:
      names: the files.

    Returns:
      beginning of the name of the first file that is missing -> how many there are.

    >>> missing_shards(["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"])
    {'data/train-00001-of-00003': 'it is missing; 2 of 3 shards are there'}
    """
    found: dict[tuple[str, str], dict[int, int]] = collections.defaultdict(dict)  # beginning, total -> number -> width
    for name in names:
        if match := _NUMBER_OF.search(name):
            found[name[: match.start()], match[2]][int(match[1])] = len(match[1])
    missing = {}
    for (beginning, total), widths in found.items():
        if len(widths) < int(total):
            start = 1 if int(total) in widths else 0
            number = next(number for number in itertools.count(start) if number not in widths)
            name = f"{beginning}{number:0{max(widths.values())}d}-of-{total}"
            missing[name] = f"it is missing; {len(widths)} of {int(total)} shards are there"
    return missing
