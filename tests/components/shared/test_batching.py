from components.shared.batching import batched_by_size


def test_batches_hold_few_items_and_few_bytes():
    batches = list(batched_by_size([1] * 20 + [5, 5, 1, 100, 1], lambda size: size, max_items=16, max_bytes=10))
    assert batches == [[1] * 10, [1] * 10, [5, 5], [1], [100], [1]]
    assert [len(batch) for batch in batched_by_size([1] * 20, lambda size: size, 16, 100)] == [16, 4]
    assert list(batched_by_size([], len, 16, 10)) == []


def test_items_are_taken_no_earlier_than_needed():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    next(batched_by_size(items(), lambda number: 1, 3, 100))
    assert taken == [0, 1, 2, 3]
