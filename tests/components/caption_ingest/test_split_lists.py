import pytest

from components.caption_ingest.split_lists import SplitLists


@pytest.fixture
def lists(tmp_path):
    """Writes lists, and reads them."""

    def write(**names: list[str]) -> SplitLists:
        paths = {}
        for split, each in names.items():
            paths[split] = tmp_path / f"{split}Images.txt"
            paths[split].write_text("".join(f"{name}\n" for name in each))
        return SplitLists(paths)

    return write


@pytest.mark.parametrize(
    ("name", "image_id", "uri", "alone"),
    [
        ("a.jpg", "a.jpg", "images/a.jpg", True),
        ("a.jpg", "images/a.jpg", None, False),
        ("a", "images/a.jpg", "images/a.jpg", False),
        ("images/a", "a.jpg", None, False),
        ("./images/a.jpg", "a.jpg", "images/a.jpg", True),
        ("images\\a.jpg", "a.jpg", "images/a.jpg", False),
        ("images/a.jpg", "a.jpg", "deeper/images/a.jpg", False),
        ("/home/me/images/a.jpg", "a.jpg", "images/a.jpg", False),
        ("/home/me/pictures/a.jpg", "train/a.jpg", "train/a.jpg", True),  # by the name alone
        ("7", "7", None, True),
    ],
)
def test_lists_and_captions_may_name_a_picture_differently(lists, name, image_id, uri, alone):
    assert lists(test=[name], train=["z.jpg"]).split_of(image_id, uri, alone) == "test"


@pytest.mark.parametrize(
    ("image_id", "uri", "alone"),
    [
        ("b.jpg", "images/b.jpg", True),
        ("xa.jpg", "xa.jpg", True),  # the end of a name is not the end of a path
        ("val/a.jpg", "val/a.jpg", False),  # another of that name
    ],
)
def test_what_is_in_no_list_gets_no_split(lists, image_id, uri, alone):
    assert lists(train=["train/a.jpg"]).split_of(image_id, uri, alone) is None
    assert SplitLists({}).split_of(image_id, uri, alone) is None


def test_a_directory_tells_pictures_of_one_name_apart(lists):
    both = lists(train=["images/train/0.png"], test=["images/test/0.png"])
    assert [both.split_of(f"{each}/0.png", f"{each}/0.png", False) for each in ("train", "test")] == ["train", "test"]
    assert both.split_of("0.png", "0.png", True) is None  # could be either


def test_a_picture_in_two_lists_is_an_error_with_file_and_line(lists):
    with pytest.raises(ValueError, match=r"testImages.txt:2: a.jpg is in the train list already"):
        lists(train=["a.jpg"], test=["b.jpg", "./a.jpg"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a.jpg\ncaf\xe9.jpg\n", ":2: not UTF-8"),
        (b"a/" * 600, ":1: 1200 characters"),
        (b"a\x1b[2J.jpg", ":1: control"),
    ],
)
def test_what_is_no_list_is_an_error_with_file_and_line(tmp_path, data, message):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"list.txt{message}"):
        SplitLists({"train": tmp_path / "list.txt"})


def test_a_list_may_come_from_windows(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\nimages\\b.jpg\r\n")
    read = SplitLists({"test": tmp_path / "list.txt"})
    assert [read.split_of(name, None, True) for name in ("a.jpg", "b.jpg", "c.jpg")] == ["test", "test", None]


def test_a_list_that_knows_few_of_the_pictures_is_doubted(lists):
    each = lists(train=["a.jpg", "b.jpg"], eval=["x.png", "y.png", "c.jpg"], test=["z.png"])
    found = [each.split_of(name, None, True) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")]
    assert each.doubts(found, "a.jpg") == [
        "evalImages.txt names 3 pictures, and the captions know 1 of them: it has names as 'x.png', the captions as "
        "'a.jpg'",
        "testImages.txt names 1 pictures, and the captions know 0 of them: it has names as 'z.png', the captions as "
        "'a.jpg'",
    ]
    assert lists(train=["a.jpg"], eval=["b.jpg"], test=["c.jpg"]).doubts(["train", "eval", "test"], "a.jpg") == []
