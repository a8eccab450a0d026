"""Which files a reject suggests in place of a missing one."""

import difflib

from components.caption_ingest import nearest_names
from components.caption_ingest.nearest_names import NearestNames


def test_the_most_similar_images_come_first():
    files = NearestNames(["x/dog-1.JPG", "dog 2.png", "a/dog1.txt", "cat.jpg", "b/dog-1.jpg", "zebra.jpg"])
    assert files.to("a/Dog1.jpg") == ["b/dog-1.jpg", "x/dog-1.JPG", "dog 2.png"]
    assert files.to("elephant.jpg") == []


def test_the_beginning_or_the_end_of_a_name_may_be_wrong():
    files = NearestNames(
        [f"{number:04}-{letter * 9}.jpg" for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz" * 9)]
    )
    assert files.to("x0033-hhhhhhhhh.jpg")[0] == "0033-hhhhhhhhh.jpg"  # the same end
    assert files.to("0033-hhhhhhhhh-resized.jpg")[0] == "0033-hhhhhhhhh.jpg"


def test_the_cost_of_many_missing_images_is_bounded(monkeypatch):
    compared, real = [], difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda *args: compared.append(len(args[1])) or real(*args))
    monkeypatch.setattr(nearest_names, "MAX_SEARCHES", 5)
    files = NearestNames(f"{number:06}{'x' * 500}.jpg" for number in range(1000))
    for number in range(9):
        files.to(f"{number}{'y' * 500}.jpg")
    assert len(compared) == 5 and max(compared) <= 48
