"""Each format in a small file with the quirks of the real ones."""

import json
import pathlib
import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies

from components.caption_ingest.formats import FORMATS, base, dialects, json_files
from components.caption_ingest.formats.base import Caption, Source, UnreadableFileError
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.flickr_tokens import FlickrTokens
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.karpathy import Karpathy
from components.caption_ingest.formats.table import Table
from components.caption_ingest.layout import detect_format
from components.caption_ingest.rejects import Reason, Reject
from components.shared.records import SPLITS


def write_file(directory: pathlib.Path, text: str | bytes) -> Source:
    path = directory / "captions"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Source(path)


def rejected(items) -> list[tuple[int, Reason]]:
    assert all(item.detail for item in items if isinstance(item, Reject))
    return [(item.line, item.reason) for item in items if isinstance(item, Reject)]


def test_flickr_tokens(tmp_path):
    source = write_file(
        tmp_path, b"\xef\xbb\xbfa.jpg#0\tA dog .\r\n\r\nb.jpg#1\tTwo\tcats\n\xc3\xbc.png#12\t\xe7\x8b\x97"
    )
    assert isinstance(detect_format(source), FlickrTokens)
    assert list(FlickrTokens().read(source)) == [
        Caption("a.jpg", "A dog .", None, 1),
        Caption("b.jpg", "Two cats", None, 3),
        Caption("ü.png", "狗", None, 4),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog\x1b[2J\0 runs\x7f .", "A dog [2J  runs  ."),
        ("A dog\r\n\u2028runs\x85\x9b\n", "A dog runs"),
        (
            "\u0645\u06cc\u200c\u062f\u0648\u062f",
            "\u0645\u06cc\u200c\u062f\u0648\u062f",
        ),  # Persian is written with such a joiner
    ],
)
def test_control_characters_become_spaces(tmp_path, text, expected):
    source = write_file(tmp_path, json.dumps({"image": "a.jpg", "caption": text}))
    assert [item.text for item in JsonLines().read(source)] == [expected]


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("a.jpg#zhc#0 一只狗 在跑", "a.jpg", "一只狗 在跑"),
        ("a.jpg#zhc#0\t一只狗", "a.jpg", "一只狗"),
        ("a.jpg#zhb#12   一只狗", "a.jpg", "一只狗"),
        ("1000092795#enr#0 A dog", "1000092795", "A dog"),
        ("a.jpeg#de#1\tEin Hund", "a.jpeg", "Ein Hund"),
        ("a.jpg#uyc#0# Bir it", "a.jpg", "Bir it"),
        ("a.jpg#0#\tA dog", "a.jpg", "A dog"),
        ("a.jpg#0 A dog #1 runs", "a.jpg", "A dog #1 runs"),
        ("my photo.jpg#zhm#0\t一只狗", "my photo.jpg", "一只狗"),
        ("a#dog.jpg#0\tA dog", "a#dog.jpg", "A dog"),
        ("b#dog#0\tA dog", "b#dog", "A dog"),
    ],
)
def test_flickr_tokens_may_state_a_language_and_have_blanks(tmp_path, line, name, text):
    source = write_file(tmp_path, f"{line}\n")
    assert isinstance(detect_format(source), FlickrTokens)
    assert list(FlickrTokens().read(source)) == [Caption(name, text, None, 1)]


@pytest.mark.parametrize("text", ["See issue #12 for details\n", "build#3 failed\n", "# 1 Title\n"])
def test_a_number_sign_in_a_text_is_no_caption(tmp_path, text):
    assert detect_format(write_file(tmp_path, text)) is None


def test_a_name_may_contain_a_hash_sign(tmp_path):
    source = write_file(tmp_path, "a#1.jpg#0\tA dog\n")
    assert isinstance(detect_format(source), FlickrTokens)
    assert list(FlickrTokens().read(source)) == [Caption("a#1.jpg", "A dog", None, 1)]


def test_a_caption_is_in_unicodes_composed_form(tmp_path):
    source = write_file(tmp_path, "a.jpg#0\tA cafe\u0301\na.jpg#1\tA caf\u00e9\n")
    assert [caption.text for caption in FlickrTokens().read(source)] == ["A caf\u00e9"] * 2


def test_flickr8ks_odd_name_is_corrected(tmp_path):
    source = write_file(tmp_path, "2258277193_586949ec62.jpg.1#0\tpeople\n")
    assert list(FlickrTokens().read(source)) == [Caption("2258277193_586949ec62.jpg", "people", None, 1)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg no number", Reason.BAD_LINE),
        (b"a.jpg #0", Reason.BAD_LINE),
        (b"a.jpg\tno number", Reason.BAD_LINE),
        (b"a.jpg#x\tno number", Reason.BAD_LINE),
        (b"#0\tno name", Reason.BAD_LINE),
        (b"a\0.jpg#0\tNUL in the name", Reason.BAD_LINE),
        (b"a\x1b[2J.jpg#0\ta name that clears the screen", Reason.BAD_LINE),
        (b"a.jpg#0\t" + b"long " * 10_000, Reason.BAD_LINE),
        (b"a.jpg#0\t" + b"longer " * 1_000_000, Reason.BAD_LINE),
        (b"a.jpg#0\t", Reason.EMPTY_CAPTION),
        (b"a.jpg#0\t .,!? 12 ", Reason.EMPTY_CAPTION),
        (b"a.jpg#0\tcaf\xe9", Reason.BAD_ENCODING),
        (b"a.jpg#0\t" + b"a " * 401, Reason.LONG_CAPTION),
        (b"a.jpg#0\t" + "狗".encode() * 401, Reason.LONG_CAPTION),
    ],
)
def test_a_bad_line_is_rejected_with_its_number(tmp_path, line, reason):
    items = list(FlickrTokens().read(write_file(tmp_path, b"good.jpg#0\tfine\n" + line + b"\ngood.jpg#1\tfine\n")))
    assert rejected(items) == [(2, reason)]
    assert [item.line for item in items if isinstance(item, Caption)] == [1, 3]


def test_kaggles_table_of_flickr8k(tmp_path):
    rows = ["image,caption", 'a.jpg,"A dog , and ""Rex"" on it ."', "a.jpg,A cat .", "b.jpg,one , two unquoted"]
    source = write_file(tmp_path, "\r\n".join(rows))
    assert isinstance(detect_format(source), Table)
    assert list(Table().read(source)) == [
        Caption("a.jpg", 'A dog , and "Rex" on it .', None, 2),
        Caption("a.jpg", "A cat .", None, 3),
        Caption("b.jpg", "one , two unquoted", None, 4),
    ]


def test_a_caption_may_have_400_words(tmp_path):
    [caption] = FlickrTokens().read(write_file(tmp_path, "a.jpg#0\t" + " ".join(["dog"] * 400)))
    assert len(caption.text.split()) == 400


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("a.jpg,1,000 dogs,two  cats ,and a hen", "1,000 dogs,two  cats ,and a hen"),
        ("a.jpg, one , two", "one , two"),
        ('"a.jpg",1,000 "big" dogs', '1,000 "big" dogs'),
        ('a.jpg,"A dog", they say, barks', '"A dog", they say, barks'),
        ('a.jpg,"1,000 ""big"" dogs"', '1,000 "big" dogs'),
    ],
)
def test_unquoted_commas_belong_to_the_caption(tmp_path, row, text):
    assert [item.text for item in Table().read(write_file(tmp_path, f"image,caption\n{row}\n"))] == [text]


@pytest.mark.parametrize("header", ["image| comment_number| comment", "image_name| comment_number| comment"])
def test_kaggles_table_of_flickr30k(tmp_path, header):
    # the real file lacks a bar in line 19,999
    rows = [header, 'a.jpg| 0| A "dog', "2199200615.jpg| 4   A dog runs .", "b.jpg| 1| a | b"]
    source = write_file(tmp_path, "\n".join(rows))
    assert isinstance(detect_format(source), Table)
    first, bad, last = Table().read(source)
    assert (first, last) == (Caption("a.jpg", 'A "dog', None, 2), Caption("b.jpg", "a | b", None, 4))
    assert rejected([bad]) == [(3, Reason.BAD_LINE)]


def test_a_table_may_have_splits_and_text_with_line_ends(tmp_path):
    source = write_file(tmp_path, 'split,file_name,text\nval,a.jpg,"A dog\nin two lines"\ntest,b.jpg,A cat\n')
    assert list(Table().read(source)) == [
        Caption("a.jpg", "A dog in two lines", "eval", 2),
        Caption("b.jpg", "A cat", "test", 4),
    ]


def test_a_table_with_bad_rows_keeps_the_others(tmp_path):
    rows = b'split,image,caption\n,a.jpg,"A dog" barks\n,b.jpg\n,,A cat\n,c.jpg,\n,d.jpg,caf\xe9\n,e.jpg,A hen'
    *bad, good = Table().read(write_file(tmp_path, rows))
    assert rejected(bad) == [
        (2, Reason.BAD_LINE),
        (3, Reason.BAD_LINE),
        (4, Reason.BAD_LINE),
        (5, Reason.EMPTY_CAPTION),
        (6, Reason.BAD_ENCODING),
    ]
    assert good == Caption("e.jpg", "A hen", None, 7)


def test_an_unclosed_quotation_mark_loses_few_rows(tmp_path):
    rows = ["image,caption", 'a.jpg,"A dog', *(f"{number}.jpg,A cat" for number in range(100))]
    bad, *rest = Table().read(write_file(tmp_path, "\n".join(rows)))
    assert (bad.line, bad.reason) == (2, Reason.BAD_LINE)
    assert bad.rows == dialects.MAX_ROW_LINES  # the rejected captions are counted
    assert bad.rows + len(rest) == 101


@pytest.mark.parametrize(
    ("rows", "line", "num_rows", "name"),
    [
        (['a.jpg,"A dog', 'b.jpg,A cat"'], 2, 2, "b.jpg"),
        (["z.jpg,A hen", 'a.jpg,"A dog', "b.jpg,A cat", "", 'c.JPG,A cow"'], 3, 3, "b.jpg"),
        (['"a.jpg,A dog', 'b.jpg",A cat'], 2, 2, "b.jpg"),
        (['12,"A dog', '13,A cat"'], 2, 2, "13"),
    ],
)
def test_an_unclosed_quotation_mark_hides_no_other_row(tmp_path, rows, line, num_rows, name):
    items = list(Table().read(write_file(tmp_path, "\n".join(["image,caption", *rows, "last.jpg,A pig"]))))
    [reject] = [item for item in items if isinstance(item, Reject)]
    assert (reject.line, reject.reason) == (line, Reason.BAD_LINE) and f"that of {name}" in reject.detail
    assert reject.rows == num_rows
    assert reject.rows + sum(isinstance(item, Caption) for item in items) == len(list(filter(None, rows))) + 1
    assert items[-1].image_id == "last.jpg"


def test_a_text_with_line_ends_may_have_commas(tmp_path):
    rows = ["image,caption,split", 'a.jpg,"A dog,', "which is brown, and runs", 'fast, at last",train']
    [caption] = Table().read(write_file(tmp_path, "\n".join(rows)))
    assert (caption.text, caption.split) == ("A dog, which is brown, and runs fast, at last", "train")


LINE_ENDS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]  # Unicode's, and not ours


@pytest.mark.parametrize("end", LINE_ENDS)
def test_recognizer_and_reader_agree_what_a_line_is(tmp_path, end):
    records = [{"image": "a.jpg", "caption": f"A dog{end}runs"}, {"image": "b.jpg", "caption": "A cat"}]
    source = write_file(tmp_path, "\r\n".join(json.dumps(record, ensure_ascii=False) for record in records))
    assert isinstance(detect_format(source), JsonLines)
    texts = [item.text for item in JsonLines().read(source) if isinstance(item, Caption)]
    assert texts == ["A dog runs", "A cat"]
    source = write_file(tmp_path, f"a.jpg#0\tA dog{end}runs\nb.jpg#0\tA cat\n")
    assert isinstance(detect_format(source), FlickrTokens)
    assert [item.text for item in FlickrTokens().read(source)] == ["A dog runs", "A cat"]
    source = write_file(tmp_path, f"image,caption\na.jpg,A dog{end}runs\n")
    assert isinstance(detect_format(source), Table)
    assert [item.text for item in Table().read(source)] == ["A dog runs"]


@pytest.mark.parametrize("line", ["7", "true", "null", '"image"', '["image"]'])
def test_an_indented_document_of_anything_else_is_no_captions(tmp_path, line):
    source = write_file(tmp_path, f"{{\n{line}\n}}")  # as a `dataset_info.json` has them
    assert detect_format(source) is None


def test_json_lines(tmp_path):
    records = [
        {"image": "a.jpg", "caption": "A dog", "split": "train"},
        {"file_name": "b.jpg", "text": "A cat"},
        {"image_id": 7, "captions": ["One", "Two\n"], "split": "validation"},
    ]
    source = write_file(tmp_path, "\n".join(map(json.dumps, records)))
    assert isinstance(detect_format(source), JsonLines)
    assert list(JsonLines().read(source)) == [
        Caption("a.jpg", "A dog", "train", 1),
        Caption("b.jpg", "A cat", None, 2),
        Caption("7", "One", "eval", 3),
        Caption("7", "Two", "eval", 3),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", Reason.BAD_LINE),
        ("[" * 9_000, Reason.BAD_LINE),
        ("[1]", Reason.BAD_LINE),
        ('{"image": "a.jpg", "caption": "A dog", "split": "test-std"}', Reason.BAD_LINE),
        ('{"caption": "no image"}', Reason.BAD_LINE),
        ('{"image": "a.jpg"}', Reason.BAD_LINE),
        ('{"image": ["a.jpg"], "caption": "A dog"}', Reason.BAD_LINE),
        ('{"image": "a.jpg", "caption": 3}', Reason.BAD_LINE),
        ('{"image": "a.jpg", "caption": "\\ud800 dog"}', Reason.BAD_ENCODING),
        ('{"image": "a.jpg", "captions": [""]}', Reason.EMPTY_CAPTION),
        ('{"image": "a.jpg", "captions": []}', Reason.EMPTY_CAPTION),
        ('{"image": "a.jpg", "captions": ["nan"]}', Reason.EMPTY_CAPTION),
        ('{"image": "a.jpg", "captions": ["a", "dog", "runs"]}', Reason.BAD_LINE),
    ],
)
def test_a_bad_record_is_rejected(tmp_path, line, reason):
    source = write_file(tmp_path, f'{{"image": "a.jpg", "caption": "A dog"}}\n{line}\n')
    assert rejected(list(JsonLines().read(source))) == [(2, reason)]


def test_karpathys_json(tmp_path):
    images = [
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog.", "tokens": ["a", "dog"]}]},
        {"filename": "b.jpg", "filepath": "val2014", "split": "restval", "sentences": [{"raw": "Two"}, {"raw": "2"}]},
        {"filename": "c.jpg", "split": "val", "sentences": [{"raw": "A cat"}]},
        {"filename": "d.jpg", "split": "test"},
        {"filename": "e.jpg", "split": "test", "sentences": []},
        3,
    ]
    source = write_file(tmp_path, json.dumps({"images": images, "dataset": "coco"}))
    assert isinstance(detect_format(source), Karpathy)
    a, b, empty, c, d, e, none = Karpathy().read(source)
    assert (a, b) == (Caption("a.jpg", "A dog.", "train", 1), Caption("val2014/b.jpg", "Two", "train", 2))
    assert c == Caption("c.jpg", "A cat", "eval", 3)
    expected = [(2, Reason.EMPTY_CAPTION), (4, Reason.BAD_LINE), (5, Reason.EMPTY_CAPTION), (6, Reason.BAD_LINE)]
    assert rejected([empty, d, e, none]) == expected


def test_coco(tmp_path):
    document = {
        "info": {"year": 2014},
        "images": [{"id": 9, "file_name": "COCO_val2014_000000000009.jpg"}, {"id": 10}],
        "annotations": [
            {"image_id": 9, "id": 1, "caption": "A dog.\n"},
            {"image_id": 11, "id": 2, "caption": "A cat"},
            {"image_id": 10, "id": 3, "caption": "no name"},
            {"image_id": 9, "id": 4},
        ],
    }
    source = write_file(tmp_path, json.dumps(document))
    assert isinstance(detect_format(source), Coco)
    good, *bad = Coco().read(source)
    assert good == Caption("COCO_val2014_000000000009.jpg", "A dog.", None, 1)
    assert rejected(bad) == [(2, Reason.BAD_LINE), (3, Reason.BAD_LINE), (4, Reason.BAD_LINE)]


def test_coco_images_without_caption_are_rejected(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 1, "file_name": "c.jpg"}]
    annotations = [{"image_id": 1, "caption": "A dog"}]
    second, good, silent = Coco().read(write_file(tmp_path, json.dumps({"images": images, "annotations": annotations})))
    assert good == Caption("a.jpg", "A dog", None, 1)
    assert (second.image_id, second.line, second.reason) == ("c.jpg", 3, Reason.BAD_LINE)
    assert (silent.image_id, silent.line, silent.reason) == ("b.jpg", 2, Reason.EMPTY_CAPTION)


@pytest.mark.parametrize("other", [{"bbox": [0, 0, 1, 1]}, {"segmentation": []}, {"question": "Is it a dog?"}])
def test_annotations_of_other_tasks_are_counted_and_no_faults(tmp_path, other):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    annotations = [{"image_id": 1, **other}, {"image_id": 1, "caption": "A dog"}, {"image_id": 2, **other}]
    good, others, silent = Coco().read(write_file(tmp_path, json.dumps({"images": images, "annotations": annotations})))
    assert good == Caption("a.jpg", "A dog", None, 2)
    assert isinstance(others, Reject)
    assert (others.line, others.reason, others.rows) == (1, Reason.NO_CAPTION, 2)
    assert (silent.image_id, silent.line, silent.reason) == ("b.jpg", 2, Reason.EMPTY_CAPTION)


@pytest.mark.parametrize(("own", "used"), [(1, "000000000001"), ("000000000001", 1), (1, 1.0), ("0", "00")])
def test_ids_are_equal_that_are_one_number(tmp_path, own, used):
    document = {"images": [{"id": own, "file_name": "a.jpg"}], "annotations": [{"image_id": used, "caption": "A dog"}]}
    assert list(Coco().read(write_file(tmp_path, json.dumps(document)))) == [Caption("a.jpg", "A dog", None, 1)]


def test_two_ids_that_are_one_number_are_two(tmp_path):
    images = [{"id": "01", "file_name": "a.jpg"}, {"id": "1", "file_name": "b.jpg"}]
    annotations = [{"image_id": number, "caption": "A dog"} for number in ("01", "1", "001")]
    first, second, unknown = Coco().read(
        write_file(tmp_path, json.dumps({"images": images, "annotations": annotations}))
    )
    assert (first.image_id, second.image_id) == ("a.jpg", "b.jpg")
    assert unknown.reason is Reason.BAD_LINE


def test_karpathys_tokens_are_joined_where_there_is_no_sentence(tmp_path):
    sentences = [{"tokens": ["a", "dog"]}, {"raw": "A dog.", "tokens": ["a", "dog"]}, {"tokens": 3}]
    document = {"images": [{"filename": "a.jpg", "split": "train", "sentences": sentences}]}
    first, second, third = Karpathy().read(write_file(tmp_path, json.dumps(document)))
    assert (first.text, second.text, third.reason) == ("a dog", "A dog.", Reason.BAD_LINE)


@pytest.mark.parametrize(("flag", "value"), [("is_rejected", True), ("is_precanned", True), ("is_rejected", 1)])
def test_an_annotation_that_is_flagged_is_no_caption(tmp_path, flag, value):
    poor = {"image_id": 1, "caption": "Quality issues are too severe to recognize visual content.", flag: value}
    usual = {"image_id": 1, "caption": "A dog", "is_rejected": False, "is_precanned": 0, "text_detected": True}
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [poor, usual]}
    flagged, good = Coco().read(write_file(tmp_path, json.dumps(document)))
    assert good == Caption("a.jpg", "A dog", None, 2)
    assert (flagged.image_id, flagged.line, flagged.reason) == ("a.jpg", 1, Reason.FLAGGED)
    assert flagged.detail == f"its authors have flagged it: {flag}"


@pytest.mark.parametrize("space", ["\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}"])
def test_a_name_may_contain_spaces_of_any_script(tmp_path, space):
    name = f"Screenshot 10.15{space}AM.jpg"
    assert list(FlickrTokens().read(write_file(tmp_path, f"{name}#0\tA dog\n"))) == [Caption(name, "A dog", None, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"images": [\n{"id": 9,}]}', r"captions:2: not JSON: .* at character \d+"),
        (b'{"images": "caf\xe9"}', "not UTF-8 at byte 15"),
        (b'{"images": ' + b"[" * 100_000, "the JSON can't be read"),
        (b"[]", "not a JSON object"),
        (b'{"images": 3}', 'no list "images"'),
    ],
)
@pytest.mark.parametrize("format", [Coco(), Karpathy()], ids=lambda format: format.name)
def test_a_broken_document_is_refused_with_its_position(tmp_path, format, text, message):
    with pytest.raises(UnreadableFileError, match=message):
        list(format.read(write_file(tmp_path, text)))


def test_a_document_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 10)
    with pytest.raises(UnreadableFileError, match="14 bytes; the maximum is 10"):
        list(Coco().read(write_file(tmp_path, '{"images": []}')))


@pytest.mark.parametrize("format", [FlickrTokens(), Table(), JsonLines()], ids=lambda format: format.name)
def test_a_text_file_that_is_too_large_is_refused(tmp_path, monkeypatch, format):
    monkeypatch.setattr(base, "MAX_TEXT_BYTES", 10)
    with pytest.raises(UnreadableFileError, match=r"captions: 14 bytes; the maximum is 10\. Divide it"):
        list(format.read(write_file(tmp_path, "image,caption\n")))


HALVES = strategies.text(strategies.characters(categories=["Cs", "Lu"]), max_size=4)  # lone surrogates among letters
ANYTHING = strategies.one_of(
    strategies.binary(max_size=400),
    strategies.text(max_size=400).map(str.encode),
    strategies.lists(strategies.sampled_from(["a.jpg", "[", "]", "'", ";", "\r", "\\", '"', "\n", " ", "dog"])).map(
        lambda parts: ("image;caption_1;caption_2\n" + "".join(parts)).encode()
    ),
    strategies.lists(strategies.sampled_from(["a.jpg", "#0", "\t", "\n", ",", '"', "|", "{", "}", "[", ":", "dog"]))
    .map("".join)
    .map(str.encode),
    strategies.recursive(
        strategies.none() | strategies.integers() | strategies.text(max_size=9) | HALVES,
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(["image", "images", "annotations", "caption", "captions", "image_id", "id"])
                | strategies.sampled_from(["file_name", "filename", "sentences", "raw", "split"]),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda tree: json.dumps(tree).encode()),
)


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ANYTHING)
@example(b"sep=;")
@example(b"image,caption\na.jpg,['\\N{x}']")
@example(b"image,caption\n" + b'"' * 99)
@example(b'{"images": [{}], "annotations": [{"image_id": null, "caption": "x"}]}')
def test_no_input_crashes_a_format(tmp_path, data):
    source = write_file(tmp_path, data)
    detect_format(source)
    for format in FORMATS.values():
        try:
            items = list(format.read(source))
        except UnreadableFileError as error:
            assert str(source.path) in str(error)
            continue
        for item in items:
            assert item.line >= 1
            if isinstance(item, Caption):
                assert item.image_id.isprintable() and item.text.encode() and item.split in (None, *SPLITS)
                assert not any(unicodedata.category(character) == "Cc" for character in item.text)
            else:
                assert item.to_json().encode()
