import hashlib
import itertools
import threading
from collections.abc import Iterator

import tensorflow as tf

from components.bleu_evaluator import captioning
from components.shared.images.ingested import IngestedImage


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


def test_encoded_images_are_held_within_a_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(captioning, "MAX_HELD_BYTES", 4000)
    sizes = {f"{number:02}": 5000 if number == 7 else 300 for number in range(40)}  # one has more by itself
    images = {}
    for name, size in sizes.items():
        data = name.encode().ljust(size, b".")
        (tmp_path / name).write_bytes(data)
        images[name] = IngestedImage(str(tmp_path / name), hashlib.sha256(data).hexdigest())
    read_verified, held, lock = captioning.read_verified, [0], threading.Lock()

    def add(num_bytes: int) -> None:
        with lock:
            held.append(held[-1] + num_bytes)

    def read(images: list[IngestedImage]) -> Iterator[bytes]:
        for data in read_verified(images):
            add(len(data))
            yield data

    def signature(image_bytes):  # a model whose captions are the first bytes of the files
        captions = tf.strings.substr(image_bytes, 0, 2)
        add(-sum(tf.strings.length(image_bytes).numpy().tolist()))
        return {"caption": captions}

    monkeypatch.setattr(captioning, "read_verified", read)
    assert captioning._from_files(signature, images) == {name: name for name in sizes}
    # the batches, and the image that is read to find that it belongs into the next one
    assert max(held) <= 4000 + 5000 and held[-1] == 0
    assert sum(change < before for before, change in itertools.pairwise(held)) >= 13  # batches of up to 3
