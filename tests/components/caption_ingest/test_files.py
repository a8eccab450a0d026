import os

from components.caption_ingest.files import PictureFile, scan


def write(path, data=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_are_found_by_path_and_by_name(tmp_path):
    stat = write(tmp_path / "some/folder/a.jpg", b"12345").stat()
    found = scan(str(tmp_path))
    assert dict(found.by_path) == {"some/folder/a.jpg": PictureFile("some/folder/a.jpg", 5, stat.st_mtime_ns)}
    assert found.named("a.jpg") == found.named("folder/a.jpg") == ["some/folder/a.jpg"]
    assert list(found.named("b.jpg")) == []


def test_all_of_the_same_name_are_told_and_hidden_files_do_not_count(tmp_path):
    for path in ("b/x.jpg", "a/x.jpg", "c/sub/x.jpg", ".hidden.jpg", ".git/x.jpg"):
        write(tmp_path / path)
    found = scan(str(tmp_path))
    assert found.named("x.jpg") == ["a/x.jpg", "b/x.jpg", "c/sub/x.jpg"]
    assert found.named("sub/x.jpg") == ["c/sub/x.jpg"]  # the path ends so
    assert len(found.by_path) == 3


def test_files_are_found_at_any_depth(tmp_path):
    deep = "/".join("d" * 900)
    directory = tmp_path
    for _ in range(900):
        directory = directory / "d"
    write(directory / "a.jpg")
    assert scan(str(tmp_path)).named("a.jpg") == [f"{deep}/a.jpg"]


def test_links_in_circles_come_to_an_end(tmp_path):
    for letter in "abcdefghijklmnopqrst":
        (tmp_path / letter).mkdir()
    for letter in "abcdefghijklmnopqrst":  # 20 levels of two links each: a million paths
        for number in range(2):
            (tmp_path / letter / f"link{number}").symlink_to(tmp_path / chr(ord("a") + (ord(letter) - 96) % 20))
    write(tmp_path / "a" / "x.jpg")
    found = scan(str(tmp_path))
    assert found.named("x.jpg") == ["a/x.jpg"]
    assert len(found.by_path) <= 2


def test_a_link_and_the_file_it_leads_to_are_one(tmp_path):
    write(tmp_path / "store/.blobs/123")
    write(tmp_path / "pictures/a.jpg")
    (tmp_path / "images").symlink_to("pictures")
    (tmp_path / "b.jpg").symlink_to("pictures/a.jpg")
    (tmp_path / "c.jpg").symlink_to("store/.blobs/123")
    found = scan(str(tmp_path))
    assert set(found.by_path) == {"pictures/a.jpg", "images/a.jpg", "b.jpg", "c.jpg"}
    assert found.named("a.jpg") == found.named("b.jpg") == ["pictures/a.jpg"]
    assert found.named("c.jpg") == ["c.jpg"]  # what it leads to is hidden
    assert not any(file.outside for file in found.by_path.values())


def test_links_out_of_the_directory_are_marked_and_not_followed_far(tmp_path, caplog):
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
    found = scan(str(root)).by_path
    expected = {"file.jpg": True, "folder/secret.jpg": True, "near/x.jpg": True, "harmless.jpg": False}
    assert {path: found[path].outside for path in expected} == expected
    assert "folder/sub/deeper.jpg" not in found
    assert "not looked into, as it is outside of the data directory: folder/sub" in caplog.text


def test_names_that_are_not_utf_8_are_left_out_with_a_warning(tmp_path, caplog):
    write(tmp_path / "a.jpg")
    write(tmp_path / "ü.jpg")
    for path in (b"b\xe9.jpg", b"caf\xe9/c.jpg"):
        write(tmp_path / os.fsdecode(path))
    assert set(scan(str(tmp_path)).by_path) == {"a.jpg", "ü.jpg"}
    assert "b\\xe9.jpg" in caplog.text and "caf\\xe9" in caplog.text


def test_names_that_would_steer_a_terminal_are_left_out_with_a_warning(tmp_path, caplog):
    for path in ("a.jpg", "b\x1b[2J.jpg", "d\x1b[2J/c.jpg"):
        write(tmp_path / path)
    assert set(scan(str(tmp_path)).by_path) == {"a.jpg"}
    assert "b\\x1b[2J.jpg" in caplog.text and "\x1b" not in caplog.text
