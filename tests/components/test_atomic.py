import pathlib

import pytest

from components.atomic import whole_file, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with whole_file(str(path)) as partial:
        pathlib.Path(partial).write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [path] == list(path.parent.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(str(path), "old")
    with pytest.raises(RuntimeError), whole_file(str(path)) as partial:
        pathlib.Path(partial).write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [path] == list(tmp_path.iterdir())


def test_leftovers_of_a_killed_write_match_no_glob(tmp_path):
    with whole_file(str(tmp_path / "file.json")) as partial:
        pathlib.Path(partial).write_text("")
        assert not list(tmp_path.glob("[!.]*"))


def test_write_text_replaces(tmp_path):
    write_text(str(tmp_path / "file"), "longer than the next")
    write_text(str(tmp_path / "file"), "grün")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "grün"
