import threading

from components.bleu_evaluator import captioning


def test_batches_are_captioned_several_at_a_time_in_their_order_and_not_read_far_ahead():
    together = threading.Barrier(captioning.CONCURRENT, timeout=60)
    taken = []

    def batches():
        for number in range(4 * captioning.CONCURRENT):
            taken.append(number)
            yield number

    def ask(number: int) -> int:
        together.wait()  # for as many others
        return 10 * number

    for place, answer in enumerate(captioning._answers(ask, batches())):
        assert answer == 10 * place
        assert len(taken) <= place + 1 + captioning.CONCURRENT
    assert len(taken) == 4 * captioning.CONCURRENT
