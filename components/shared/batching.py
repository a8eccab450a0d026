"""Batches that are bounded by number and by bytes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batched_by_size(
    items: Iterable[Item], num_bytes: Callable[[Item], int], max_items: int, max_bytes: int
) -> Iterator[list[Item]]:
    """Divides items into batches, in their order.

    >>> list(batched_by_size(["a", "bb", "cccc", "d"], len, 2, 3))
    [['a', 'bb'], ['cccc'], ['d']]

    Args:
      items: the items; at most one more is taken than the batches so far hold.
      num_bytes: returns the size of an item.
      max_items: maximum number of items per batch.
      max_bytes: maximum size of a batch with several items; a larger item is a batch by itself.
    """
    batch: list[Item] = []
    batch_bytes = 0
    for item in items:
        size = num_bytes(item)
        if batch and (len(batch) == max_items or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size
    if batch:
        yield batch
