import pytest

from components.caption_ingest import dataset
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import scenes, storage
from pipeline import sample_data
from pipeline.cli.main import main
from pipeline.config import check_paths
from pipeline.config_files import load


@pytest.fixture
def directory(tmp_path):
    sample_data.write(tmp_path / "data", 20, 7)
    return tmp_path / "data"


def snapshot(directory):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*.jpg")}


def test_the_real_reader_reads_it(directory):
    data = dataset.read(CaptionIngestSettings(dir=str(directory)))
    assert (len(data.images), data.rejects, data.num_captions) == (20, (), 100)
    assert [entry.split for entry in data.images[:10]] == ["train"] * 8 + ["eval", "test"]
    assert list(data.images[3].captions) == scenes.sentences(7, 3)


def test_a_larger_data_set_keeps_the_first_images(directory):
    before = snapshot(directory)
    assert sample_data.write(directory, 25, 7) == 5
    after = snapshot(directory)
    assert len(after) == 25
    assert before.items() <= after.items()
    assert len(dataset.read(CaptionIngestSettings(dir=str(directory))).images) == 25


def test_it_is_drawn_once_and_edited_files_are_kept(tmp_path):
    assert sample_data.ensure(tmp_path, 10, 7) == 10
    captions = tmp_path / sample_data.TEXT / "Flickr8k.token.txt"
    captions.write_text("edited")
    assert sample_data.ensure(tmp_path, 10, 7) == 0
    assert captions.read_text() == "edited"
    assert sample_data.ensure(tmp_path, 12, 7) == 2


def test_another_language_rewrites_the_captions_alone(tmp_path):
    sample_data.ensure(tmp_path, 10, 7)
    before = snapshot(tmp_path)
    assert sample_data.ensure(tmp_path, 10, 7, "zh") == 0
    data = dataset.read(CaptionIngestSettings(dir=str(tmp_path)))
    assert list(data.images[3].captions) == scenes.chinese_sentences(7, 3)
    assert (data.rejects, data.num_captions) == ((), 50)
    assert sample_data.ensure(tmp_path, 10, 7) == 0
    captions = dataset.read(CaptionIngestSettings(dir=str(tmp_path))).images[3].captions
    assert list(captions) == scenes.sentences(7, 3)
    assert snapshot(tmp_path) == before


def test_an_interrupted_drawing_is_completed(tmp_path):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / ".sample").unlink()
    (tmp_path / sample_data.IMAGES / sample_data.name(7, 4)).unlink()
    assert sample_data.ensure(tmp_path, 10, 7) == 1


def change_scenes(monkeypatch):
    """Stands for an edited scenes.py: other images, another identity."""
    monkeypatch.setattr(sample_data, "code_identity", lambda *modules: "other code")
    monkeypatch.setattr(scenes, "jpeg", lambda seed, index: f"other image {index}".encode())


def images(directory):
    return {path.name: path.read_bytes() for path in (directory / sample_data.IMAGES).iterdir()}


@pytest.mark.parametrize("draw", [sample_data.ensure, sample_data.write])
def test_after_a_change_of_the_scenes_all_are_drawn_again(tmp_path, monkeypatch, draw):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / sample_data.IMAGES / "mine.jpg").write_bytes(b"mine")
    change_scenes(monkeypatch)
    assert draw(tmp_path, 8, 7) == 8
    drawn = images(tmp_path)
    assert drawn.pop("mine.jpg") == b"mine"
    assert drawn == {sample_data.name(7, index): f"other image {index}".encode() for index in range(8)}
    assert draw(tmp_path, 8, 7) == 0
    assert draw(tmp_path, 10, 7) == 2


def test_images_of_unknown_code_are_drawn_again(tmp_path):
    sample_data.ensure(tmp_path, 10, 7)
    (tmp_path / ".scenes").unlink()
    assert sample_data.ensure(tmp_path, 10, 7) == 10


def test_an_interrupted_redrawing_is_completed(tmp_path, monkeypatch):
    sample_data.ensure(tmp_path, 10, 7)
    change_scenes(monkeypatch)
    jpeg = scenes.jpeg
    monkeypatch.setattr(scenes, "jpeg", lambda seed, index: jpeg(seed, index) if index < 4 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample_data.write(tmp_path, 10, 7)
    assert not (tmp_path / sample_data.TEXT / "Flickr8k.token.txt").exists()
    monkeypatch.setattr(scenes, "jpeg", jpeg)
    assert sample_data.ensure(tmp_path, 10, 7) == 6
    assert set(images(tmp_path).values()) == {f"other image {index}".encode() for index in range(10)}


def test_the_command_draws_it(tmp_path, capsys):
    directory = tmp_path / "data"
    assert main(["sample", str(directory), "--set", "data.sample.num_images=3", "data.sample.language=zh"]) == 0
    assert capsys.readouterr().out == f"Generated 3 images in {directory}\n"
    assert sorted(images(directory)) == [sample_data.name(7, index) for index in range(3)]
    assert "背景" in (directory / sample_data.TEXT / "Flickr8k.token.txt").read_text(encoding="utf-8")
    assert main(["sample", str(directory), "--set", "data.sample.num_images=0"]) == 2
    assert "data.sample.num_images: " in capsys.readouterr().err


def test_a_data_directory_is_no_pattern(tmp_path):
    directory = tmp_path / "data [1]*"
    sample_data.write(directory, 10, 7)
    check_paths(load(None, [f"data.dir={directory}"]))
    assert len(dataset.read(CaptionIngestSettings(dir=str(directory))).images) == 10


def test_in_a_bucket_it_is_drawn_once_and_the_captions_come_last(bucket, monkeypatch):
    copied, copy = [], storage.copy

    def record(source, target):
        copied.append(target)
        copy(source, target)

    monkeypatch.setattr(storage, "copy", record)
    assert sample_data.ensure(f"{bucket}/sample", 10, 7) == 10
    assert copied[-2:] == [f"{bucket}/sample/Flickr8k_text/Flickr8k.token.txt", f"{bucket}/sample/.sample"]
    assert sample_data.ensure(f"{bucket}/sample", 10, 7) == 0
    assert len(storage.list_names(f"{bucket}/sample/Flicker8k_Dataset")) == 10
    storage.write_text(f"{bucket}/sample/.scenes", "other code")
    storage.write_text(f"{bucket}/sample/Flicker8k_Dataset/scene_7_00099.jpg", "of other code")
    assert sample_data.ensure(f"{bucket}/sample", 10, 7) == 10
    assert len(storage.list_names(f"{bucket}/sample/Flicker8k_Dataset")) == 10
