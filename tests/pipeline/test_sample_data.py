import pytest

from components import scenes
from components.caption_ingest import dataset
from pipeline import sample_data


@pytest.fixture
def directory(tmp_path):
    sample_data.write(tmp_path / "data", 20, 7)
    return tmp_path / "data"


def snapshot(directory):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*.jpg")}


def test_the_real_reader_reads_it(directory):
    data = dataset.read(dataset.Settings(str(directory)))
    assert (len(data.entries), data.rejects, data.rows) == (20, (), 100)
    assert [entry.split for entry in data.entries[:10]] == ["train"] * 8 + ["eval", "test"]
    assert list(data.entries[3].captions) == scenes.sentences(7, 3)


def test_more_pictures_leave_the_first_ones_as_they_are(directory):
    before = snapshot(directory)
    assert sample_data.write(directory, 25, 7) == 5
    after = snapshot(directory)
    assert len(after) == 25
    assert before.items() <= after.items()
    assert len(dataset.read(dataset.Settings(str(directory))).entries) == 25


def test_it_is_drawn_once_and_what_was_changed_by_hand_is_left_alone(tmp_path):
    assert sample_data.ensure(tmp_path, 10, 7) == 10
    captions = tmp_path / sample_data.TEXT / "Flickr8k.token.txt"
    captions.write_text("mine")
    assert sample_data.ensure(tmp_path, 10, 7) == 0
    assert captions.read_text() == "mine"
    assert sample_data.ensure(tmp_path, 12, 7) == 2


def test_an_interrupted_drawing_is_finished(tmp_path):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / ".sample").unlink()
    (tmp_path / sample_data.PICTURES / sample_data.name(7, 4)).unlink()
    assert sample_data.ensure(tmp_path, 10, 7) == 1


def other_scenes(monkeypatch):
    """Stands for a changed scenes.py: other pictures, another hash."""
    monkeypatch.setattr(sample_data, "source_hash", lambda *modules: "other code")
    monkeypatch.setattr(scenes, "jpeg", lambda seed, index: f"other picture {index}".encode())


def pictures(directory):
    return {path.name: path.read_bytes() for path in (directory / sample_data.PICTURES).iterdir()}


@pytest.mark.parametrize("draw", [sample_data.ensure, sample_data.write])
def test_after_a_change_of_the_scenes_all_is_drawn_anew(tmp_path, monkeypatch, draw):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / sample_data.PICTURES / "mine.jpg").write_bytes(b"mine")
    other_scenes(monkeypatch)
    assert draw(tmp_path, 8, 7) == 8
    found = pictures(tmp_path)
    assert found.pop("mine.jpg") == b"mine"
    assert found == {sample_data.name(7, index): f"other picture {index}".encode() for index in range(8)}
    assert draw(tmp_path, 8, 7) == 0
    assert draw(tmp_path, 10, 7) == 2


def test_pictures_of_unknown_code_are_drawn_anew(tmp_path):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / ".scenes").unlink()
    assert sample_data.ensure(tmp_path, 10, 7) == 10


def test_an_interrupted_redrawing_is_finished(tmp_path, monkeypatch):
    sample_data.ensure(tmp_path, 10, 7)
    other_scenes(monkeypatch)
    drawn = scenes.jpeg
    monkeypatch.setattr(scenes, "jpeg", lambda seed, index: drawn(seed, index) if index < 4 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample_data.write(tmp_path, 10, 7)
    assert not (tmp_path / sample_data.TEXT / "Flickr8k.token.txt").exists()
    monkeypatch.setattr(scenes, "jpeg", drawn)
    assert sample_data.ensure(tmp_path, 10, 7) == 6
    assert set(pictures(tmp_path).values()) == {f"other picture {index}".encode() for index in range(10)}


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sample_data", str(tmp_path), "--images", "3"])
    sample_data.main()
    assert "3 pictures drawn" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("*.jpg"))) == 3
