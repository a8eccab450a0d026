import pytest

from components.caption_ingest import readers
from components.caption_ingest.readers import Caption
from components.caption_ingest.rejects import Reason, Reject
from tests.material import write_data_set


def read(directory):
    layout = readers.find_layout(str(directory))
    return list(readers.read_flickr8k(layout, readers.read_lists(layout)))


def test_a_caption_knows_its_picture_its_split_and_its_line(tmp_path):
    write_data_set(tmp_path, "a.jpg#0\tA dog .\nb.jpg#1\tA cat .\n", {"train": ["a.jpg"]})
    assert read(tmp_path) == [Caption("a.jpg", "A dog .", "train", 1), Caption("b.jpg", "A cat .", None, 2)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg#0 no tab", Reason.BAD_LINE),
        (b"a.jpg\tno number", Reason.BAD_LINE),
        (b"a.jpg#x\tno number", Reason.BAD_LINE),
        (b"#0\tno name", Reason.BAD_LINE),
        (b"a\0.jpg#0\tNUL in the name", Reason.BAD_LINE),
        (b"a.jpg#0\t" + b"long " * 10_000, Reason.BAD_LINE),
        (b"a.jpg#0\t", Reason.EMPTY_CAPTION),
        (b"a.jpg#0\t .,!? 12 ", Reason.EMPTY_CAPTION),
        (b"a.jpg#0\tcaf\xe9", Reason.BAD_ENCODING),
    ],
)
def test_a_bad_line_is_rejected_with_its_number(tmp_path, line, reason):
    write_data_set(tmp_path, b"good.jpg#0\tfine\n" + line + b"\ngood.jpg#1\tfine\n")
    first, reject, last = read(tmp_path)
    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason, bool(reject.detail)) == (2, reason, True)
    assert isinstance(first, Caption) and isinstance(last, Caption)


def test_windows_line_ends_byte_order_mark_and_blank_lines_are_taken(tmp_path):
    write_data_set(tmp_path, b"\xef\xbb\xbfa.jpg#0\tA dog\r\n\r\nb.jpg#0\tA cat")
    (tmp_path / "testImages.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.jpg\r\n")
    assert read(tmp_path) == [Caption("a.jpg", "A dog", "test", 1), Caption("b.jpg", "A cat", "test", 3)]


def test_text_of_any_script_and_tabs_in_the_text_are_kept(tmp_path):
    write_data_set(tmp_path, "ü.jpg#0\t狗\tGrün\n")
    assert read(tmp_path) == [Caption("ü.jpg", "狗\tGrün", None, 1)]


def test_flickr8ks_own_odd_name_is_read(tmp_path):
    write_data_set(tmp_path, "2258277193_586949ec62.jpg.1#0\tpeople\n")
    assert read(tmp_path)[0].image_id == "2258277193_586949ec62.jpg.1"


def test_flickr8ks_own_layout_is_found(tmp_path):
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    for name in ("Flickr8k.token.txt", "Flickr8k.lemma.token.txt", "readme.txt", "._Flickr8k.token.txt"):
        (text / name).write_text("")
    for name in ("train", "dev", "test"):
        (text / f"Flickr_8k.{name}Images.txt").write_text("")
    layout = readers.find_layout(str(tmp_path))
    assert layout.captions.name == "Flickr8k.token.txt"
    assert {split: path.name for split, path in layout.lists.items()} == {
        "train": "Flickr_8k.trainImages.txt",
        "eval": "Flickr_8k.devImages.txt",
        "test": "Flickr_8k.testImages.txt",
    }


def test_what_is_missing_or_ambiguous_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a directory"):
        readers.find_layout(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"\*token.txt"):
        readers.find_layout(str(tmp_path))
    for name in ("a.token.txt", "b.token.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match="several caption files"):
        readers.find_layout(str(tmp_path))


def test_a_picture_in_two_lists_is_an_error_with_file_and_line(tmp_path):
    write_data_set(tmp_path, "", {"train": ["a.jpg"], "test": ["b.jpg", "a.jpg"]})
    with pytest.raises(ValueError, match=r"testImages.txt:2: a.jpg is in the train list already"):
        readers.read_lists(readers.find_layout(str(tmp_path)))
