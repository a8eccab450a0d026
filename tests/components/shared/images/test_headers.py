from components.shared.images.headers import gif_frames
from tests.components.shared.images.factories import gif


def test_the_walk_over_a_broken_gif_ends():
    data = gif((16, 16), (20, 30), extensions=True)
    assert [len(list(gif_frames(data[:end]))) for end in (13, 14, 40, len(data) - 1)] == [0, 0, 1, 2]
    assert list(gif_frames(data[:13] + b"?" + data[13:])) == []
    for end in range(len(data)):
        assert len(list(gif_frames(data[:end]))) <= 2
