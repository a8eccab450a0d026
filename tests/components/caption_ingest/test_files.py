import os

import pytest

from components.caption_ingest.files import scan
from components.caption_ingest.image_file import ImageFile


def write(path, data=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_are_found_by_path_and_by_name(tmp_path):
    stat = write(tmp_path / "some/folder/a.jpg", b"12345").stat()
    files = scan(str(tmp_path))
    assert dict(files.by_path) == {"some/folder/a.jpg": ImageFile("some/folder/a.jpg", 5, stat.st_mtime_ns)}
    assert files.named("a.jpg") == files.named("folder/a.jpg") == ["some/folder/a.jpg"]
    assert list(files.named("b.jpg")) == []


def test_all_files_with_a_name_are_listed_without_hidden_ones(tmp_path):
    for path in ("b/x.jpg", "a/x.jpg", "c/sub/x.jpg", ".hidden.jpg", ".git/x.jpg"):
        write(tmp_path / path)
    files = scan(str(tmp_path))
    assert files.named("x.jpg") == ["a/x.jpg", "b/x.jpg", "c/sub/x.jpg"]
    assert files.named("sub/x.jpg") == ["c/sub/x.jpg"]  # the end of the path
    assert len(files.by_path) == 3


def test_files_are_found_at_any_depth(tmp_path):
    deep = "/".join("d" * 900)
    directory = tmp_path
    for _ in range(900):
        directory = directory / "d"
    write(directory / "a.jpg")
    assert scan(str(tmp_path)).named("a.jpg") == [f"{deep}/a.jpg"]


def test_circular_links_end(tmp_path):
    for letter in "abcdefghijklmnopqrst":
        (tmp_path / letter).mkdir()
    for letter in "abcdefghijklmnopqrst":  # 20 levels of two links each: a million paths
        for number in range(2):
            (tmp_path / letter / f"link{number}").symlink_to(tmp_path / chr(ord("a") + (ord(letter) - 96) % 20))
    write(tmp_path / "a" / "x.jpg")
    files = scan(str(tmp_path))
    assert files.named("x.jpg") == ["a/x.jpg"]
    assert len(files.by_path) <= 2


def test_a_link_and_its_target_count_once(tmp_path):
    write(tmp_path / "store/.blobs/123")
    write(tmp_path / "photos/a.jpg")
    (tmp_path / "images").symlink_to("photos")
    (tmp_path / "b.jpg").symlink_to("photos/a.jpg")
    (tmp_path / "c.jpg").symlink_to("store/.blobs/123")
    files = scan(str(tmp_path))
    assert set(files.by_path) == {"photos/a.jpg", "images/a.jpg", "b.jpg", "c.jpg"}
    assert files.named("a.jpg") == files.named("b.jpg") == ["photos/a.jpg"]
    assert files.named("c.jpg") == ["c.jpg"]  # its target is hidden
    assert not any(file.outside_root for file in files.by_path.values())


def test_links_out_of_the_directory_are_marked_and_not_followed_deep(tmp_path, caplog):
    root, outside = tmp_path / "data", tmp_path / "outside"
    write(root / "inside.jpg")
    write(outside / "secret.jpg")
    write(outside / "sub" / "deeper.jpg")
    (tmp_path / "data-2").mkdir()
    write(tmp_path / "data-2" / "x.jpg")
    (root / "file.jpg").symlink_to(outside / "secret.jpg")
    (root / "folder").symlink_to(outside)
    (root / "near").symlink_to(tmp_path / "data-2")  # its path begins with that of the root
    (root / "harmless.jpg").symlink_to(root / "inside.jpg")
    (root / "loop").symlink_to(root)
    files = scan(str(root)).by_path
    expected = {"file.jpg": True, "folder/secret.jpg": True, "near/x.jpg": True, "harmless.jpg": False}
    assert {path: files[path].outside_root for path in expected} == expected
    assert "folder/sub/deeper.jpg" not in files
    assert "skipping folder/sub: it is outside the data directory; data.allow_links=true takes it" in caplog.text


def test_links_out_of_the_directory_are_followed_where_they_are_allowed(tmp_path, caplog):
    root, outside = tmp_path / "data", tmp_path / "outside"
    write(root / "inside.jpg")
    write(outside / "a.jpg")
    write(outside / "sub" / "deeper" / "b.jpg")
    (root / "file.jpg").symlink_to(outside / "a.jpg")
    (root / "folder").symlink_to(outside)
    (root / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    files = scan(str(root), allow_links=True)
    assert set(files.by_path) == {"inside.jpg", "file.jpg", "folder/a.jpg", "folder/sub/deeper/b.jpg"}
    assert not any(file.outside_root for file in files.by_path.values()) and not caplog.text
    assert files.match("b.jpg", "captions.txt").file.uri == "folder/sub/deeper/b.jpg"


def test_circular_links_out_of_the_directory_end(tmp_path):
    root, outside = tmp_path / "data", tmp_path / "outside"
    write(root / "inside.jpg")
    for letter in "abcdefgh":
        write(outside / letter / f"{letter}.jpg")
        for number, other in enumerate("abcdefgh"):
            (outside / letter / f"link{number}").symlink_to(outside / other)
        (outside / letter / "up").symlink_to(tmp_path)
    (root / "folder").symlink_to(outside)
    files = scan(str(root), allow_links=True)
    assert {path.rpartition("/")[2] for path in files.by_path} == {"inside.jpg", *(f"{x}.jpg" for x in "abcdefgh")}
    assert len(files.by_path) <= 3 * 9
    assert files.named("inside.jpg") == ["inside.jpg"]


def test_names_that_are_not_utf_8_are_skipped_with_a_warning(tmp_path, caplog):
    write(tmp_path / "a.jpg")
    write(tmp_path / "ü.jpg")
    for path in (b"b\xe9.jpg", b"caf\xe9/c.jpg"):
        write(tmp_path / os.fsdecode(path))
    assert set(scan(str(tmp_path)).by_path) == {"a.jpg", "ü.jpg"}
    assert "b\\xe9.jpg" in caplog.text and "caf\\xe9" in caplog.text


def test_names_with_control_characters_are_skipped_with_a_warning(tmp_path, caplog):
    for path in ("a.jpg", "b\x1b[2J.jpg", "d\x1b[2J/c.jpg"):
        write(tmp_path / path)
    assert set(scan(str(tmp_path)).by_path) == {"a.jpg"}
    assert "b\\x1b[2J.jpg" in caplog.text and "\x1b" not in caplog.text


COMPOSED, DECOMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "cafe\N{COMBINING ACUTE ACCENT}.jpg"


@pytest.mark.parametrize(("on_disk", "named"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
@pytest.mark.parametrize("directory", ["", "images/"])
def test_a_name_may_be_composed_or_decomposed(tmp_path, on_disk, named, directory):
    write(tmp_path / f"{directory}{on_disk}")
    files = scan(str(tmp_path))
    for name in (on_disk, named, f"{directory}{named}"):
        match = files.match(name, "captions.txt")
        assert match.file.uri == f"{directory}{on_disk}" and match.is_unambiguous
        assert match.image_id == f"{directory if directory in name else ''}{on_disk}"  # one image however it is named


@pytest.mark.parametrize("name", ["P10.JPG", "images/P10.JPG", "IMAGES/p10.jpg", "elsewhere/P10.JPG"])
def test_a_name_may_differ_in_case(tmp_path, name):
    write(tmp_path / "images/P10.jpg")
    match = scan(str(tmp_path)).match(name, "captions.txt")
    assert (match.image_id, match.file.uri, match.is_unambiguous) == (name, "images/P10.jpg", True)


def test_names_that_are_spelled_alike_come_first(tmp_path):
    for path, data in (("a/p.jpg", b"1"), ("a/P.jpg", b"22"), ("b/P.JPG", b"333"), (COMPOSED, b""), (DECOMPOSED, b"4")):
        write(tmp_path / path, data)
    files = scan(str(tmp_path))
    found = {name: files.match(name, "captions.txt").file for name in ("p.jpg", "P.jpg", "B/p.jpg", "a/P.JPG")}
    assert {name: file and file.uri for name, file in found.items()} == {
        "p.jpg": "a/p.jpg",
        "P.jpg": "a/P.jpg",
        "B/p.jpg": "b/P.JPG",
        "a/P.JPG": None,  # could be either
    }
    for name in (COMPOSED, DECOMPOSED):
        assert files.match(name, "captions.txt").file.uri == name
