"""Tables as spreadsheets, pandas and `csv` write them: dialects, columns, and lists in a cell."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies

from components.caption_ingest.formats.base import Caption, Source, UnreadableFileError
from components.caption_ingest.formats.columns import texts_in
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.table import Table
from components.caption_ingest.layout import detect_format, find_layout
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns
from tests.components.caption_ingest.test_formats import rejected, write_file


def read(directory, text: str | bytes, **columns) -> list[Caption | Reject]:
    source = Source(write_file(directory, text).path, columns=Columns(**columns))
    assert isinstance(detect_format(source), Table)
    return list(Table().read(source))


def pairs(items: list[Caption | Reject]) -> list[tuple[str, str]]:
    return [(item.image_id, item.text if isinstance(item, Caption) else item.reason.value) for item in items]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_quoted_fields_with_any_delimiter(tmp_path, delimiter):
    rows = ['"image"D"caption"', '"a.jpg"D"A dogD a ""big"" cat"', '"b.jpg"D"A hen\n on two lines"', "c.jpgDA cow"]
    items = read(tmp_path, "\n".join(rows).replace("D", delimiter))
    assert pairs(items) == [
        ("a.jpg", f'A dog{delimiter} a "big" cat'.replace("\t", " ")),
        ("b.jpg", "A hen  on two lines"),
        ("c.jpg", "A cow"),
    ]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_excels_first_line_states_the_delimiter(tmp_path, first):
    items = read(tmp_path, f'{first}\r\nimage;caption\r\na.jpg;A dog, a cat\r\nb.jpg;"A hen; a cow"\r\n')
    assert pairs(items) == [("a.jpg", "A dog, a cat"), ("b.jpg", "A hen; a cow")]
    assert [item.line for item in items] == [3, 4]


def test_excels_first_line_may_state_any_delimiter(tmp_path):
    assert pairs(read(tmp_path, "sep=:\nimage:caption\na.jpg:A dog\n")) == [("a.jpg", "A dog")]
    assert pairs(read(tmp_path, "sep=\t\nimage\tcaption\na.jpg\tA dog\n")) == [("a.jpg", "A dog")]


def test_excels_unicode_text_is_read(tmp_path):
    text = 'image\tcaption\r\nä.jpg\t"A dog\t""Rex"""\r\n'
    (tmp_path / "captions.txt").write_bytes(text.encode("utf-16"))
    layout = find_layout(str(tmp_path))
    assert pairs(list(layout.format.read(layout.captions[0].source))) == [("ä.jpg", 'A dog "Rex"')]


@pytest.mark.parametrize("delimiter", ["| ", "\t", ";"])
def test_quotation_marks_that_enclose_no_cell_are_text(tmp_path, delimiter):
    rows = ["image|comment", 'a.jpg|"A dog', 'b.jpg|"Stop" sign', 'c.jpg|"Ninja"', "d.jpg|one | two"]
    items = read(tmp_path, "\n".join(rows).replace("|", delimiter.strip(" "), 1).replace("|", delimiter))
    assert pairs(items)[:3] == [("a.jpg", '"A dog'), ("b.jpg", '"Stop" sign'), ("c.jpg", '"Ninja"')]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_an_unclosed_quotation_mark_hides_no_other_row_with_any_delimiter(tmp_path, delimiter):
    rows = ['"image"D"caption"', '"z.jpg"D"A hen"', 'a.jpgD"A dog', 'b.jpgDA cat"', '"c.jpg"D"A cow"']
    first, bad, last = read(tmp_path, "\n".join(rows).replace("D", delimiter))
    assert (bad.line, bad.reason, bad.rows) == (3, Reason.BAD_LINE, 2) and "that of b.jpg" in bad.detail
    assert pairs([first, last]) == [("z.jpg", "A hen"), ("c.jpg", "A cow")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_an_unclosed_quotation_mark_hides_no_row_before_the_image(tmp_path, delimiter):
    rows = ['"caption"D"image"', '"A hen\nin two lines"Dz.jpg', '"A dogDa.jpg', 'A cat"Da.jpg', '"A cow"Dc.jpg']
    first, bad, last = read(tmp_path, "\n".join(rows).replace("D", delimiter))
    assert (bad.line, bad.reason, bad.rows) == (4, Reason.BAD_LINE, 2) and "that of a.jpg" in bad.detail
    assert pairs([first, last]) == [("z.jpg", "A hen in two lines"), ("c.jpg", "A cow")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_further_delimiters_belong_to_a_last_caption(tmp_path, delimiter):
    rows = ['"image"D"n"D"caption"', '"aD1.jpg"D1Done D two', 'b.jpgD2D"oneD two"']
    items = read(tmp_path, "\n".join(rows).replace("D", delimiter))
    name = f"a{delimiter}1.jpg"
    assert items[1].text == f"one{delimiter} two".replace("\t", " ")
    assert isinstance(items[0], Reject) == (delimiter == "\t") or pairs(items)[0] == (name, f"one {delimiter} two")


@pytest.mark.parametrize(
    ("header", "row", "captions"),
    [
        ("id,name,caption", "7,a.jpg,A dog", ["A dog"]),
        ("id,caption", "a,A dog", ["A dog"]),
        ("ID\tCaption", "a\tA dog", ["A dog"]),
        ("image_path,caption", "a,A dog", ["A dog"]),
        ("Image Name,Caption", "a,A dog", ["A dog"]),
        ("filepath,text", "a,A dog", ["A dog"]),
        ("img,sentence", "a,A dog", ["A dog"]),
        ("image,description", "a,A dog", ["A dog"]),
        ("path,description", "a.jpg,A dog", ["A dog"]),
        ("filepath\ttitle", "a.jpg\tA dog", ["A dog"]),
        ("Path,Cleaned Caption", "a.jpg,A dog", ["A dog"]),
        ("image_name,caption_number,image_caption,caption_language", "a.jpg,1,A dog,en", ["A dog"]),
        ("image_id,file_name,caption", "7,a.jpg,A dog", ["A dog"]),
        ("image_id,name,caption", "7,a.jpg,A dog", ["A dog"]),
        ("image_name,image_path,caption", "a.jpg,images/a.jpg,A dog", ["A dog"]),
        (",image,caption", "0,a.jpg,A dog", ["A dog"]),
        ("image,caption_0,caption_1,caption_2", "a.jpg,A dog,A cat,", ["A dog", "A cat"]),
        ("image,caption1,caption2", "a.jpg,,A cat", ["A cat"]),
        ("caption 1;image;Caption 2", "A dog;a.jpg;A cat", ["A dog", "A cat"]),
        ("image,comment_number,comment_1,comment_2", "a.jpg,2,A dog,A cat", ["A dog", "A cat"]),
        ("image,captions", "a.jpg,\"['A dog', 'A cat']\"", ["A dog", "A cat"]),
        ("image,captions", "a.jpg,\"['A dog' 'A cat']\"", ["A dog", "A cat"]),
        ("image,captions", 'a.jpg,"[""A dog"", ""A cat""]"', ["A dog", "A cat"]),
        ("image,caption_0,caption_1", "a.jpg,\"['A dog']\",\"['A cat']\"", ["A dog", "A cat"]),
        ("image,caption", "a.jpg,[A dog]", ["[A dog]"]),
    ],
)
def test_the_columns_are_found(tmp_path, header, row, captions):
    items = read(tmp_path, f"{header}\n{row}\n")
    assert [(item.image_id.removesuffix(".jpg"), item.text) for item in items] == [("a", text) for text in captions]


def test_flickr30ks_table_of_hugging_face(tmp_path):
    rows = ["raw,sentids,split,filename,img_id", '"[""Two men"", ""Two boys""]","[0, 1]",train,1000092795.jpg,0']
    assert read(tmp_path, "\n".join(rows)) == [
        Caption("1000092795.jpg", "Two men", "train", 2),
        Caption("1000092795.jpg", "Two boys", "train", 2),
    ]


@pytest.mark.parametrize(
    "header",
    ["name,description", "id,text", "path,raw", "Text, Description", "url,caption", "file,comment", "image", "caption"],
)
def test_other_tables_are_not_taken_for_captions(tmp_path, header):
    assert detect_format(write_file(tmp_path, f"{header}\nairplane,A thing that flies\n")) is None


@pytest.mark.parametrize(
    ("header", "row", "columns", "setting"),
    [
        (
            "image,filename,caption",
            "a.jpg,b.jpg,A dog",
            "'image' and 'filename' may both hold the image",
            "image=filename",
        ),
        ("image,caption,text", "a.jpg,A dog,A cat", "'caption' and 'text' may both hold the caption", "caption=text"),
        (
            "image,caption_en,caption_2_en",
            "a.jpg,A dog,A cat",
            "'caption_en' and 'caption_2_en' may",
            "caption=caption_2_en",
        ),
    ],
)
def test_columns_that_may_both_be_meant_are_refused_with_the_setting_that_decides(
    tmp_path, header, row, columns, setting
):
    with pytest.raises(UnreadableFileError, match=rf"captions: the columns {columns}.*; choose .* data.columns"):
        read(tmp_path, f"{header}\n{row}\n")
    name, _, value = setting.partition("=")
    [caption] = read(tmp_path, f"{header}\n{row}\n", **{name: value})
    assert (caption.image_id, caption.text) == (
        "b.jpg" if name == "image" else "a.jpg",
        "A cat" if name == "caption" else "A dog",
    )


def test_columns_that_hold_the_same_need_no_decision(tmp_path):
    items = read(tmp_path, "image,filename,caption,text\nx/a.jpg,a.jpg,A dog,A dog\n")
    assert pairs(items) == [("x/a.jpg", "A dog")]


def test_the_settings_name_any_columns(tmp_path):
    text = "photo ref;caption_en;caption_zh;Legend de;Legend fr\n7;A dog;狗;Ein Hund;Un chien\n"
    assert pairs(read(tmp_path, text, image="photo ref", caption="caption_zh")) == [("7", "狗")]
    assert pairs(read(tmp_path, text, image="photo ref", caption="Legend *")) == [("7", "Ein Hund"), ("7", "Un chien")]
    assert pairs(read(tmp_path, text, image="photo_ref", caption="caption_??")) == [("7", "A dog"), ("7", "狗")]
    source = Source(tmp_path / "captions", columns=Columns(image="photo", caption="caption_zh"))
    assert detect_format(source) is None
    with pytest.raises(
        UnreadableFileError, match=r"of data.columns.image=photo and data.columns.caption=caption_zh: 'pho"
    ):
        list(Table().read(source))


@pytest.mark.parametrize(
    ("name", "split"),
    [("Training", "train"), ("TESTING", "test"), ("valid", "eval"), ("Dev", "eval"), ("evaluation", "eval")],
)
@pytest.mark.parametrize("column", ["split", "Split", "subset", "set"])
def test_the_split_may_have_any_of_its_names(tmp_path, column, name, split):
    [caption] = read(tmp_path, f"image,caption,{column}\na.jpg,A dog,{name}\n")
    assert caption.split == split


def test_another_column_is_no_split(tmp_path):
    [caption] = read(tmp_path, "image,caption,set\na.jpg,A dog,A\n")
    assert caption.split is None
    assert rejected(read(tmp_path, "image,caption,split\na.jpg,A dog,A\n")) == [(2, Reason.BAD_LINE)]


def test_imagefolder_has_a_table_per_split(tmp_path, read):
    for number, directory in enumerate(("train", "validation", "test")):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / f"{number}.jpg").write_bytes(b"")
        (tmp_path / directory / "metadata.csv").write_text(f"file_name,text\n{number}.jpg,A dog\n")
    assert [(image.image_id, image.split) for image in read(tmp_path).images] == [
        ("test/2.jpg", "test"),
        ("train/0.jpg", "train"),
        ("validation/1.jpg", "eval"),
    ]


@pytest.mark.parametrize("write", [repr, json.dumps, lambda texts: str(np.array(texts, dtype=object))])
@pytest.mark.parametrize(
    "texts", [["a dog ."], ["a dog", "a cat's"], ['a "big" dog', "it's", "a \\ dog"], ["caf\u00e9"]]
)
def test_a_list_in_a_cell_is_several_texts(write, texts):
    assert texts_in(write(texts)) == texts


def test_a_list_in_a_text_of_json_is_several_texts(tmp_path):
    records = [{"image": "a.jpg", "captions": "['A dog', 'A cat']"}, {"image": "b.jpg", "captions": "['A dog', 'A c"}]
    *good, bad = JsonLines().read(write_file(tmp_path, "\n".join(map(json.dumps, records))))
    assert [item.text for item in good] == ["A dog", "A cat"]
    assert (bad.line, bad.reason) == (2, Reason.BAD_LINE)


@pytest.mark.parametrize("cell", ["[]", "[ ]"])
def test_an_empty_list_is_an_empty_caption(tmp_path, cell):
    assert texts_in(cell) == [""]
    assert rejected(read(tmp_path, f"image,caption\na.jpg,{cell}\n")) == [(2, Reason.EMPTY_CAPTION)]


@pytest.mark.parametrize(
    "cell", ["['a dog', 'a c", "['a dog'", "['a', f()]", "[[1]", "['a\\x1']", "[{'raw': 'a dog'}]"]
)
def test_a_list_that_cannot_be_read_is_rejected(tmp_path, cell):
    with pytest.raises(ValueError, match="a list that can't be read"):
        texts_in(cell)
    [reject] = read(tmp_path, f'image,caption\na.jpg,"{cell}"\n')
    assert (reject.image_id, reject.reason) == ("a.jpg", Reason.BAD_LINE)


def test_a_row_that_is_flagged_is_no_caption(tmp_path):
    items = read(tmp_path, "image,caption,is_rejected\na.jpg,A dog,False\nb.jpg,Quality issues,True\nc.jpg,A cat,0\n")
    assert rejected(items) == [(3, Reason.FLAGGED)]
    assert [item.text for item in items if isinstance(item, Caption)] == ["A dog", "A cat"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_header_of_a_joined_file_is_no_fault(tmp_path, mark):
    items = read(tmp_path, f"image,caption\na.jpg,A dog\n{mark}image,caption\nb.jpg,A cat\n")
    assert rejected(items) == [(3, Reason.NO_CAPTION)]
    assert [item.image_id for item in items if isinstance(item, Caption)] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_quotation_marks_may_be_escaped_with_backslashes(tmp_path, delimiter):
    rows = [
        r'"a.jpg"D"A sign says \"stop\""',
        r'"b.jpg"D"A backslash \ and \"D\\"',
        'c.jpgD"\\"Two\n lines\\""',
        "d.jpgDA cat",
    ]
    items = read(tmp_path, "\n".join(["imageDcaption", *rows]).replace("D", delimiter))
    assert pairs(items) == [
        ("a.jpg", 'A sign says "stop"'),
        ("b.jpg", f'A backslash \\ and "{delimiter}\\'.replace("\t", " ")),
        ("c.jpg", '"Two  lines"'),
        ("d.jpg", "A cat"),
    ]


def test_a_backslash_before_a_closing_mark_is_text_where_marks_are_doubled(tmp_path):
    rows = r"""image,caption
"a.jpg","A path C:\"
"b.jpg","A ""big"" path D:\"
"c.jpg","A sign says \"stop\""
"""
    assert pairs(read(tmp_path, rows)) == [
        ("a.jpg", "A path C:\\"),
        ("b.jpg", 'A "big" path D:\\'),
        ("", "bad_line"),
    ]


def test_a_nul_byte_is_called_so(tmp_path):
    good, reject = read(tmp_path, "image,caption\na.jpg,A dog\nb.jpg,A\0cat\n")
    assert isinstance(good, Caption) and isinstance(reject, Reject)
    assert (reject.line, reject.detail.split(",")[0]) == (3, "a NUL byte in the row")


def test_rows_without_anything_are_no_rows(tmp_path):
    assert pairs(read(tmp_path, "image;caption\na.jpg;A dog\n;\n; ;;\n")) == [("a.jpg", "A dog")]


def test_an_unknown_split_is_told_the_known_ones(tmp_path):
    [reject] = read(tmp_path, "image,caption,split\na.jpg,A dog,fold1\n")
    assert isinstance(reject, Reject)
    assert reject.detail.startswith("unknown split 'fold1'; known are train, training, restval, val, ")


@pytest.mark.parametrize("cell", ["\ufeffa.jpg", "\u200ba.jpg", '"\ufeff a.jpg"', "a.jpg\u200b", "a.jpg#0"])
def test_what_does_not_belong_to_a_name_is_left_out(tmp_path, cell):
    assert pairs(read(tmp_path, f"image,caption\nb.jpg,A cat\n{cell},A dog\n"))[1] == ("a.jpg", "A dog")


def test_a_row_of_several_captions_without_any_is_rejected_once(tmp_path):
    items = read(tmp_path, "image,caption_1,caption_2\na.jpg,,\nb.jpg,A dog,.\n")
    assert rejected(items) == [(2, Reason.EMPTY_CAPTION), (3, Reason.EMPTY_CAPTION)] and len(items) == 3


def test_the_format_may_be_stated(tmp_path):
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,A dog\n")
    (tmp_path / "captions.json").write_text('{"image": "a.jpg", "caption": "A dog"}\n')
    for format, name in (("table", "table"), ("json_lines", "JSON lines")):
        assert find_layout(str(tmp_path), format=format).format.name == name
    assert find_layout(str(tmp_path), "captions.csv", format="flickr_tokens").format.name == "Flickr tokens"
    with pytest.raises(FileNotFoundError, match="no captions in"):
        find_layout(str(tmp_path), format="coco_captions")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_may_have_no_header(tmp_path, delimiter):
    rows = [
        "a.jpgDA dog runs",
        "x/b.PNGD A cat sits, and sleeps",
        '"c.jpg"D"A hen, a cow"',
        "brokenD",
        *["a.jpgDA dog runs"] * 9,
    ]
    items = read(tmp_path, "\n".join(rows).replace("D", delimiter))
    expected = [("a.jpg", "A dog runs"), ("x/b.PNG", "A cat sits, and sleeps"), ("c.jpg", "A hen, a cow")]
    assert pairs(items)[:4] == [*expected, ("broken", "empty_caption")]
    assert [item.line for item in items[:4]] == [1, 2, 3, 4]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_third_column_without_header_may_be_the_split(tmp_path, delimiter):
    splits = ["train", "val", "test", "train", "train"]
    rows = [f"{number}.jpgCA dog runs hereC{split}" for number, split in enumerate(splits)]
    items = read(tmp_path, "\n".join(rows).replace("C", delimiter))
    assert [item.split for item in items] == ["train", "eval", "test", "train", "train"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_further_columns_without_header_are_refused(tmp_path, delimiter):
    rows = [f"{number}.jpgCA dog runs hereCA cat sits there" for number in range(5)]
    with pytest.raises(UnreadableFileError, match=r"no header, and 3 columns; add a first line that names them, such"):
        read(tmp_path, "\n".join(rows).replace("C", delimiter))


@pytest.mark.parametrize(
    "line", ["a.jpg,cat", "a.jpg,golden retriever", "a.jpg", "a.jpg,0,A dog runs", "A dog runs,a.jpg"]
)
def test_labels_and_lists_are_no_captions(tmp_path, line):
    assert detect_format(write_file(tmp_path, f"{line}\n" * 9)) is None


@pytest.mark.parametrize("text", ["nan", "NaN", "None", " N/A ", "null", "#N/A", "#NAME?", "#REF!", "#VALUE!", "NA"])
def test_what_stands_for_no_value_is_no_caption(tmp_path, text):
    items = read(tmp_path, f"image,caption\na.jpg,{text}\nb.jpg,None of the dogs runs\n")
    assert pairs(items) == [("a.jpg", "empty_caption"), ("b.jpg", "None of the dogs runs")]


def test_cells_for_no_value_beside_captions_are_left_out_as_empty_ones_are(tmp_path):
    items = read(tmp_path, "image,caption_0,caption_1\na.jpg,A dog runs,nan\nb.jpg,NaN,nan\n")
    assert pairs(items) == [("a.jpg", "A dog runs"), ("b.jpg", "empty_caption")]


@pytest.mark.parametrize("cell", ["('a dog .', 'a cat .')", "('a dog .', 'a cat .',)", "{'a dog .', 'a cat .'}"])
def test_a_tuple_or_a_set_in_a_cell_is_several_captions(tmp_path, cell):
    items = read(tmp_path, f'image,captions\na.jpg,"{cell}"\n')
    assert pairs(items) == [("a.jpg", "a dog ."), ("a.jpg", "a cat .")]


@pytest.mark.parametrize(
    "text", ["(a dog, a cat)", "('a dog')", "('hello', she says) to a dog", "{a} dog", "('a dog', 'a cat') in a row"]
)
def test_a_sentence_in_parentheses_is_one_caption(text):
    assert texts_in(text) == [text]


@pytest.mark.parametrize("words", [["a", "dog", "runs", "."], ["кот", "и", "пёс"], ["一", "只", "狗", "在", "跑"]])
def test_the_words_of_a_caption_are_no_captions(words):
    with pytest.raises(ValueError, match=rf"a list of {len(words)} single words is no list of captions: {words[0]}, "):
        texts_in(json.dumps(words, ensure_ascii=False))


@pytest.mark.parametrize("texts", [["dog", "cat"], ["a dog", "cat", "hen"], ["一只狗在跑", "狗在跑步呢", "有一只狗"]])
def test_short_captions_are_captions(texts):
    assert texts_in(json.dumps(texts, ensure_ascii=False)) == texts


# what a person may write, with everything that a dialect must quote; no lone quotation mark at the beginning
WORDS = strategies.sampled_from(
    ["A dog", "caf\u00e9", "狗", ",", ";", "\t", "|", '"big"', "it's", "5", "'", "[x]", "\n", "."]
)
SENTENCES = strategies.lists(WORDS, min_size=1, max_size=6).map(lambda words: " ".join(["Seen:", *words]))
TABLES = strategies.lists(SENTENCES, min_size=1, max_size=8)


def check_read_back(directory, data: bytes, sentences: list[str]) -> None:
    (directory / "captions.csv").write_bytes(data)
    layout = find_layout(str(directory))
    assert isinstance(layout.format, Table)
    captions = list(layout.format.read(layout.captions[0].source))
    assert all(isinstance(caption, Caption) for caption in captions), captions
    assert [caption.image_id for caption in captions] == [f"img{number}.jpg" for number in range(len(sentences))]
    assert [caption.text.split() for caption in captions] == [sentence.split() for sentence in sentences]


HYPOTHESIS = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@HYPOTHESIS
@given(
    TABLES,
    strategies.sampled_from(",;\t|"),
    strategies.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    strategies.sampled_from(["\n", "\r\n", "\r"]),
    strategies.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    strategies.booleans(),
)
@example(["Seen: \n"], ";", csv.QUOTE_MINIMAL, "\r\n", "utf-16", True)
def test_a_table_that_csv_wrote_is_read_back_equal(tmp_path, sentences, delimiter, quoting, end, encoding, is_last):
    if end == "\r" and quoting != csv.QUOTE_ALL:  # `csv` then leaves a text with line feeds unquoted
        sentences = [sentence.replace("\n", " ") for sentence in sentences]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    for row in [("image", "caption"), *((f"img{number}.jpg", text) for number, text in enumerate(sentences))]:
        writer.writerow(row if is_last else row[::-1])
    check_read_back(tmp_path, file.getvalue().encode(encoding), sentences)


@pytest.mark.slow
@HYPOTHESIS
@given(
    TABLES,
    strategies.sampled_from(",;\t|"),
    strategies.booleans(),
    strategies.sampled_from(["\n", "\r\n"]),
    strategies.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_table_that_pandas_wrote_is_read_back_equal(tmp_path, sentences, delimiter, index, end, encoding):
    frame = pd.DataFrame({"file_name": [f"img{n}.jpg" for n in range(len(sentences))], "text": sentences})
    text = frame.to_csv(None, sep=delimiter, index=index).replace("\n", end)
    check_read_back(tmp_path, text.encode(encoding), sentences)


@pytest.mark.slow
@HYPOTHESIS
@given(TABLES, strategies.sampled_from(["sep", "semicolon", "utf-16 tab", "utf-8 csv"]))
def test_a_table_by_excels_rules_is_read_back_equal(tmp_path, sentences, kind):
    delimiter = {"utf-16 tab": "\t", "utf-8 csv": ","}.get(kind, ";")
    special = {delimiter, '"', "\n"}
    rows = [("image", "caption"), *((f"img{number}.jpg", text) for number, text in enumerate(sentences))]
    cells = [[f'"{cell.replace(chr(34), 2 * chr(34))}"' if special & {*cell} else cell for cell in row] for row in rows]
    text = "".join(f"{delimiter.join(row)}\r\n" for row in cells)
    text = f"sep=;\r\n{text}" if kind == "sep" else text
    check_read_back(tmp_path, text.encode("utf-16" if kind == "utf-16 tab" else "utf-8-sig"), sentences)
