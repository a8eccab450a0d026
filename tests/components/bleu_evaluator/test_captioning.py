import threading

from components.bleu_evaluator import captioning


def test_batches_run_concurrently_and_in_order_and_are_not_read_far_ahead():
    barrier = threading.Barrier(captioning.NUM_CONCURRENT, timeout=60)
    batches_read = []

    def batches():
        for number in range(4 * captioning.NUM_CONCURRENT):
            batches_read.append(number)
            yield number

    def caption(number: int) -> int:
        barrier.wait()  # for as many other batches
        return 10 * number

    for index, result in enumerate(captioning.map_concurrently(caption, batches())):
        assert result == 10 * index
        assert len(batches_read) <= index + 1 + captioning.NUM_CONCURRENT
    assert len(batches_read) == 4 * captioning.NUM_CONCURRENT
