from collections.abc import Callable

import pytest

from components.caption_ingest.files import NameMatch
from components.caption_ingest.formats.base import Caption, Source
from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.split_lists import Listing, SplitLists


def captioned(image_id: str, uri: str | None = None, is_unambiguous: bool = True) -> ImageCaptions:
    file = None if uri is None else ImageFile(uri, 1, 1)
    return ImageCaptions(NameMatch(image_id, file, (), is_unambiguous), "captions.txt", 1)


def split_of(lists: SplitLists, *name: str | bool | None) -> str | None:
    """The split of an image that is alone in the captions."""
    [listing], _ = lists.match([captioned(*name)])
    return listing.split


@pytest.fixture
def lists(tmp_path) -> Callable[..., SplitLists]:
    """Writes lists and reads them: split -> names."""

    def write(**names: list[str]) -> SplitLists:
        paths = {}
        for split, of_split in names.items():
            paths[split] = tmp_path / f"{split}Images.txt"
            paths[split].write_text("".join(f"{name}\n" for name in of_split))
        return SplitLists({split: Source(path) for split, path in paths.items()})

    return write


@pytest.mark.parametrize(
    ("name", "image_id", "uri", "is_unambiguous"),
    [
        ("a.jpg", "a.jpg", "images/a.jpg", True),
        ("a.jpg", "images/a.jpg", None, False),
        ("a", "images/a.jpg", "images/a.jpg", False),
        ("images/a", "a.jpg", None, False),
        ("./images/a.jpg", "a.jpg", "images/a.jpg", True),
        ("images\\a.jpg", "a.jpg", "images/a.jpg", False),
        ("images/a.jpg", "a.jpg", "deeper/images/a.jpg", False),
        ("/home/me/images/a.jpg", "a.jpg", "images/a.jpg", False),
        ("/home/me/photos/a.jpg", "train/a.jpg", "train/a.jpg", True),  # by the name alone
        ("7", "7", None, True),
    ],
)
def test_lists_and_captions_may_name_an_image_differently(lists, name, image_id, uri, is_unambiguous):
    assert split_of(lists(test=[name], train=["z.jpg"]), image_id, uri, is_unambiguous) == "test"


@pytest.mark.parametrize(
    ("image_id", "uri", "is_unambiguous"),
    [
        ("b.jpg", "images/b.jpg", True),
        ("xa.jpg", "xa.jpg", True),  # the end of a name is not the end of a path
        ("val/a.jpg", "val/a.jpg", False),  # another image with that name
    ],
)
def test_an_unlisted_image_gets_no_split(lists, image_id, uri, is_unambiguous):
    assert split_of(lists(train=["train/a.jpg"]), image_id, uri, is_unambiguous) is None
    assert split_of(SplitLists({}), image_id, uri, is_unambiguous) is None


def test_a_directory_distinguishes_images_with_one_name(lists):
    both = lists(train=["images/train/0.png"], test=["images/test/0.png"])
    images = [captioned(f"{split}/0.png", f"{split}/0.png", False) for split in ("train", "test")]
    listings, warnings = both.match(images)
    assert [listing.split for listing in listings] == ["train", "test"] and warnings == []
    [listing], _ = both.match([captioned("0.png", "0.png")])  # could be either, and must not be trained on by chance
    assert listing == Listing(candidates=("images/train/0.png", "images/test/0.png"))


def test_an_image_in_two_lists_is_an_error_with_file_and_line(lists):
    with pytest.raises(ValueError, match=r"testImages.txt:2: a.jpg is already in the train split list"):
        lists(train=["a.jpg"], test=["b.jpg", "./a.jpg"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a.jpg\ncaf\xe9.jpg\n", ":2: not UTF-8"),
        (b"a/" * 600, ":1: 1200 characters"),
        (b"a\x1b[2J.jpg", ":1: the name contains control"),
    ],
)
def test_a_file_that_is_no_list_is_an_error_with_file_and_line(tmp_path, data, message):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"list.txt{message}"):
        SplitLists({"train": Source(tmp_path / "list.txt")})


def test_a_list_may_come_from_windows(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\nimages\\b.jpg\r\n")
    windows = SplitLists({"test": Source(tmp_path / "list.txt")})
    assert [split_of(windows, name) for name in ("a.jpg", "b.jpg", "c.jpg")] == ["test", "test", None]


def test_names_in_a_list_that_no_image_has_give_a_warning(lists):
    mismatched = lists(train=["a.jpg", "b.jpg"], eval=["x.png", "y.png", "c.jpg"], test=["z.png"])
    _, warnings = mismatched.match([captioned(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")])
    assert warnings == [
        "evalImages.txt names 3 images, and the captions contain 1 of them, not 'x.png', 'y.png'; the captions have "
        "names like 'a.jpg'",
        "testImages.txt names 1 images, and the captions contain 0 of them, not 'z.png'; the captions have names like "
        "'a.jpg'",
    ]
    matching = lists(train=["a.jpg"], eval=["b.jpg"], test=["c.jpg"])
    assert matching.match([captioned(name) for name in ("a.jpg", "b.jpg", "c.jpg")])[1] == []
    large = lists(test=[f"{number}.jpg" for number in range(100)])
    [warning] = large.match([captioned(f"{number}.jpg") for number in range(99)])[1]  # a single one is told
    assert warning.startswith("testImages.txt names 100 images, and the captions contain 99 of them, not '99.jpg';")


COMPOSED, DECOMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "cafe\N{COMBINING ACUTE ACCENT}.jpg"


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("P10.JPG", "P10.jpg"),
        ("images/P10.JPG", "p10.jpg"),
        ("P10", "p10.jpg"),
        ("p10.jpg", "p10.png"),
    ],
)
def test_a_list_may_spell_an_image_differently(lists, listed, name):
    listings, warnings = lists(test=[listed], train=["b.jpg"]).match([captioned("b.jpg"), captioned(name)])
    assert [listing.split for listing in listings] == ["train", "test"] and warnings == []


def test_a_name_that_an_image_has_as_it_is_spelled_is_no_other_images(lists):
    images = [captioned(name) for name in ("a.jpg", "A.jpg", "a.png")]
    listings, warnings = lists(test=["a.jpg"]).match(images)
    assert [listing.split for listing in listings] == ["test", None, None] and warnings == []


def test_of_two_images_that_a_test_list_may_mean_neither_is_trained_on(lists):
    images = [captioned(name) for name in ("P10.jpg", "p10.jpg", "b.jpg")]
    listings, [warning] = lists(test=["P10.JPG"]).match(images)
    assert listings == [Listing(candidates=("P10.JPG",))] * 2 + [Listing()]
    assert "contain 0 of them, not 'P10.JPG'" in warning
    listings, _ = lists(train=["P10.JPG"]).match(images)
    assert [listing.split for listing in listings] == ["train", "train", None]


def test_a_row_that_states_a_split_is_not_compared_with_lists_that_spell_it_differently(lists):
    image = captioned("p10.png")
    image.add(Caption("p10.png", "A dog", "train", 1), None, "captions.csv")
    [listing], [warning] = lists(test=["P10.JPG"]).match([image])
    assert listing == Listing() and "not 'P10.JPG'" in warning
