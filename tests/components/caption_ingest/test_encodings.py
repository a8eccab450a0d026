"""Files in all the encodings and with all the line ends that spreadsheets and editors write."""

import json
import pathlib

import pytest

from components.caption_ingest.encodings import find_encoding, find_line_end, guess_encoding
from components.caption_ingest.formats import base
from components.caption_ingest.formats.base import Caption, Source, UnreadableFileError
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.flickr_tokens import FlickrTokens
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.karpathy import Karpathy
from components.caption_ingest.formats.table import Table
from components.caption_ingest.layout import find_layout
from components.caption_ingest.rejects import Reason, Reject
from tests.factories import write_data_set

TEXT = "Zwei Hunde spielen auf grünem Gras — 狗"
COCO = {"images": [{"id": 1, "file_name": "ü.jpg"}], "annotations": [{"image_id": 1, "caption": TEXT}]}
KARPATHY = {"images": [{"filename": "ü.jpg", "split": "test", "sentences": [{"raw": TEXT}]}]}
FILES = {
    FlickrTokens.name: f"ü.jpg#0\t{TEXT}\n\nü.jpg#1\t{TEXT}\n",
    Table.name: f"image,caption\nü.jpg,{TEXT}\n\nü.jpg,{TEXT}\n",
    JsonLines.name: 2 * (json.dumps({"image": "ü.jpg", "caption": TEXT}, ensure_ascii=False) + "\n"),
    Coco.name: json.dumps(COCO, ensure_ascii=False, indent=1),
    Karpathy.name: json.dumps(KARPATHY, ensure_ascii=False, indent=1),
}
MARKED = ["utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", *MARKED, "\ufeff utf-16-be"])
@pytest.mark.parametrize("format", FILES)
def test_every_format_is_read_in_every_marked_encoding_and_with_every_line_end(tmp_path, format, encoding, end):
    mark, _, encoding = encoding.rpartition(" ")
    (tmp_path / "captions").write_bytes((mark + FILES[format].replace("\n", end)).encode(encoding))
    layout = find_layout(str(tmp_path))
    assert layout.format.name == format
    captions = list(layout.format.read(layout.captions[0].source))
    assert captions and {(caption.image_id, caption.text) for caption in captions} == {("ü.jpg", TEXT)}


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16-le", "utf-16", "utf-16-be", "utf-7"])
@pytest.mark.parametrize("format", FILES)
def test_every_format_is_read_in_the_encoding_that_the_settings_state(tmp_path, format, encoding):
    (tmp_path / "captions").write_bytes(FILES[format].encode(encoding))
    layout = find_layout(str(tmp_path), encoding=encoding)
    captions = list(layout.format.read(layout.captions[0].source))
    assert captions and {(caption.image_id, caption.text) for caption in captions} == {("ü.jpg", TEXT)}


def test_a_byte_order_mark_counts_more_than_the_settings(tmp_path):
    (tmp_path / "captions").write_text(FILES[Table.name], encoding="utf-8-sig")
    assert find_encoding(tmp_path / "captions", "cp1252") == "utf-8"
    (tmp_path / "captions").write_text(FILES[Table.name], encoding="utf-8")
    assert find_encoding(tmp_path / "captions", "windows-1252") == "cp1252"


@pytest.mark.parametrize(("encoding", "end"), [("utf-16", "\r\n"), ("utf-8-sig", "\r"), ("cp1252", "\n")])
def test_a_split_list_is_read_like_captions(tmp_path, read, encoding, end):
    captions = "".join(f"{name}.jpg#0\tA dog\n" for name in "äöü")
    write_data_set(tmp_path, captions, {})
    for name, split in zip("äöü", ("train", "dev", "test"), strict=True):
        (tmp_path / f"{split}Images.txt").write_bytes(f"{name}.jpg{end}".encode(encoding))
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    (tmp_path / "captions.token.txt").write_text(captions, encoding="utf-8-sig")
    data = read(tmp_path, encoding="cp1252")
    assert [(image.image_id, image.split) for image in data.images] == [
        ("ä.jpg", "train"),
        ("ö.jpg", "eval"),
        ("ü.jpg", "test"),
    ]


SENTENCES = {
    "cp1252": ("A naïve painting — “two” people", "The dog’s ball", "A piñata hangs from a tree", "Straße"),
    "mac_roman": ("A naïve painting — “two” people", "The dog’s ball", "A piñata hangs from a tree", "Straße"),
    "cp1250": ("Dva mladí, bílí muži jsou venku blízko mnoha keřů", "Několik mužů v helmách", "Malá holčička leze"),
    "cp1251": ("Собака бежит по траве", "Две девушки стоят у дерева", "Мужчина в красной рубашке"),
    "koi8_r": ("Собака бежит по траве", "Две девушки стоят у дерева", "Мужчина в красной рубашке"),
    "gb18030": ("一只狗在草地上奔跑", "两个女孩站在树旁边", "穿红色衬衫的男人"),
    "big5": ("一隻狗在草地上奔跑", "兩個女孩站在樹旁邊", "穿紅色襯衫的男人"),
    "cp932": ("犬が芝生の上を走っている", "木のそばに立つ二人の女の子", "赤いシャツを着た男性"),
    "euc_jp": ("犬が芝生の上を走っている", "木のそばに立つ二人の女の子", "赤いシャツを着た男性"),
    "cp949": ("개가 잔디 위를 달린다", "나무 옆에 서 있는 두 소녀", "빨간 셔츠를 입은 남자"),
    "cp1253": ("Ένας σκύλος τρέχει στο γρασίδι", "Δύο κορίτσια στέκονται δίπλα στο δέντρο"),
    "cp1254": (
        "Kahverengi bir köpek çimlerin üzerinde koşuyor",
        "İki kız ağacın yanında duruyor",
        "Kırmızı gömlekli adam",
    ),
    "cp1256": ("كلب يجري على العشب", "فتاتان تقفان بجانب الشجرة", "رجل يرتدي قميصا أحمر"),
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_a_file_in_another_encoding_is_refused_with_its_likely_name(tmp_path, encoding):
    rows = [f"img{number}.jpg,{text}" for number, text in enumerate(SENTENCES[encoding])]
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(["image,caption", *rows]), encoding=encoding)
    with pytest.raises(UnreadableFileError, match=rf"captions.csv:2: .* set data.encoding={encoding};"):
        list(Table().read(Source(path)))
    assert [item.text for item in Table().read(Source(path, encoding))] == list(SENTENCES[encoding])


@pytest.mark.parametrize(
    ("document", "likely"),
    [(json.dumps(COCO, ensure_ascii=False).encode("gb18030"), "gb18030"), (b'{"images": "\xff\xfe\xff\x81"}', "")],
)
def test_a_document_in_another_encoding_is_refused_with_its_likely_name(tmp_path, document, likely):
    (tmp_path / "captions.json").write_bytes(document)
    with pytest.raises(UnreadableFileError, match=rf"not UTF-8 at byte \d+; .*set data.encoding.*{likely}"):
        list(Coco().read(Source(tmp_path / "captions.json")))


@pytest.mark.parametrize("end", [b"\n", b"\r"])
@pytest.mark.parametrize(
    ("broken", "sound", "is_refused"),
    [(1, 0, False), (1, 1, False), (2, 0, True), (2, 1, True), (2, 2, False), (40, 100, False), (40, 3, True)],
)
def test_damaged_lines_are_rejected_unless_they_are_most_of_those_beyond_ascii(
    tmp_path, broken, sound, is_refused, end
):
    lines = [b"a.jpg#0\tcaf\xe9"] * broken + ["a.jpg#0\tcafé".encode()] * sound + [b"a.jpg#0\tA dog"] * 500
    (tmp_path / "captions").write_bytes(end.join(lines))
    if is_refused:
        with pytest.raises(UnreadableFileError, match=f"{broken} lines are not UTF-8, but {sound} with characters"):
            list(FlickrTokens().read(Source(tmp_path / "captions")))
    else:
        items = list(FlickrTokens().read(Source(tmp_path / "captions")))
        assert [item.reason for item in items if isinstance(item, Reject)] == [Reason.BAD_ENCODING] * broken
        assert sum(isinstance(item, Caption) for item in items) == sound + 500


def test_a_stated_encoding_rejects_line_by_line(tmp_path):
    (tmp_path / "captions").write_bytes(b"a.jpg#0\tcaf\xe9\n" * 3 + b"a.jpg#0\tA dog\n")
    *rejects, caption = FlickrTokens().read(Source(tmp_path / "captions", is_stated=True))
    assert [(reject.line, reject.detail) for reject in rejects] == [
        (line, "the line is not UTF-8 at character 12") for line in (1, 2, 3)
    ]
    assert caption.text == "A dog"


def test_half_a_character_of_utf_16_is_rejected(tmp_path):
    line = "a.jpg#0\tA dog\n".encode("utf-16-le")
    (tmp_path / "captions").write_bytes(b"\xff\xfe" + line + b"a\0\0\xd8\n\0" + line)
    first, bad, last = FlickrTokens().read(Source(tmp_path / "captions", "utf-16-le"))
    assert (first.text, bad.reason, bad.line, last.text) == ("A dog", Reason.BAD_ENCODING, 2, "A dog")


@pytest.mark.parametrize("caption_files", [None, "captions.csv"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_captions_in_utf_16_that_nothing_marks_are_refused(tmp_path, encoding, caption_files):
    (tmp_path / "captions.csv").write_text(FILES[Table.name], encoding=encoding)
    (tmp_path / "other.bin").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(ValueError, match=f"captions.csv has captions in {encoding}, .*; set data.encoding={encoding}"):
        find_layout(str(tmp_path), caption_files)
    assert find_layout(str(tmp_path), caption_files, encoding).format.name == Table.name


def test_a_carriage_return_inside_a_text_ends_no_line(tmp_path):
    (tmp_path / "captions").write_bytes(b"a.jpg#0\tA\rdog\r\nb.jpg#0\tA cat\n")
    assert [item.text for item in FlickrTokens().read(Source(tmp_path / "captions"))] == ["A dog", "A cat"]


@pytest.mark.parametrize("text", ["\r" + "a\n" * 9, "a\n" + "\r" * 9, "\r\n", "\n\r"])
def test_the_line_end_is_that_of_the_first_line_and_of_most(text):
    assert find_line_end(text) == "\n"


def test_a_very_long_line_is_cut_in_every_encoding(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MAX_CHUNK", 64)
    (tmp_path / "captions").write_text("x" * 20_000 + "\rb.jpg#0\tA dög\r", encoding="utf-16")
    (tmp_path / "captions").write_bytes((tmp_path / "captions").read_bytes())
    assert list(base.numbered_lines(Source(tmp_path / "captions", "utf-16-le"))) == [
        (1, "x" * 63),
        (2, "b.jpg#0\tA dög"),
    ]


def test_bytes_of_no_encoding_are_guessed_to_be_none():
    assert guess_encoding(b"") is None


def test_the_whole_file_is_examined_only_if_a_line_is_broken(tmp_path, monkeypatch):
    def examine(path: pathlib.Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(base, "find_other_encoding", examine)
    (tmp_path / "captions").write_text(FILES[FlickrTokens.name])
    assert len(list(FlickrTokens().read(Source(tmp_path / "captions")))) == 2
