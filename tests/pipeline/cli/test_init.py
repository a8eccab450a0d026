import pytest

from components.feature_extractor.backbones import imagenet_weights
from components.shared import scenes
from pipeline import config_files, probe
from pipeline.cli.main import main
from pipeline.probe import Speed
from tests.factories import write_data_set


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Ten images without split lists; the commands run beside them."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "my data"
    write_data_set(directory, "".join(f"{n}.jpg#0\tA small dog .\n" for n in range(10)))
    for number in range(10):
        (directory / f"{number}.jpg").write_bytes(scenes.jpeg(0, number))
    return directory


@pytest.fixture(autouse=True)
def available(monkeypatch):
    """Which backbones have weights; no host is asked."""
    backbones = {"InceptionV3"}
    monkeypatch.setattr(imagenet_weights, "are_available", lambda backbone: backbone in backbones)
    return backbones


def test_weights_that_cannot_be_had_are_a_warning(data_dir, capsys, available):
    assert main(["init", str(data_dir), "--no-probe"]) == 0
    assert "ImageNet" not in capsys.readouterr().out
    available.clear()
    assert main(["init", str(data_dir), "--no-probe", "--force"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("run --config my-data.yaml --set feature_extractor.weights=random")
    [line] = [line for line in lines if "ImageNet" in line]
    assert line.startswith(
        "warning: the ImageNet weights of InceptionV3 are not on this machine and can't be downloaded"
    )
    assert imagenet_weights.cache_path(imagenet_weights.FILES["InceptionV3"]) in line and "or to random" in line


def test_the_config_and_the_next_command_are_written(data_dir, tmp_path, capsys):
    assert main(["init", str(data_dir), "--no-probe"]) == 0
    out = capsys.readouterr().out
    assert "images    10 (train " in out and "splits by a hash of the name: there are no split lists" in out
    assert "warning: the test split has " in out
    assert out.endswith("caption-pipeline run --config my-data.yaml\n")
    config = config_files.load(tmp_path / "my-data.yaml")
    assert (config.name, config.data.dir) == ("my-data", str(data_dir))


def test_the_probe_is_in_the_file(data_dir, monkeypatch, capsys):
    monkeypatch.setattr(probe, "measure", lambda *_: Speed(0.1, 0.2, 4, 5.0, 6.0))
    assert main(["init", str(data_dir), "--output", "a b.yaml"]) == 0
    out = capsys.readouterr().out
    assert "Estimate: about" in out and out.endswith("run --config 'a b.yaml'\n")
    assert "# Estimate: about" in (data_dir.parent / "a b.yaml").read_text()


def test_an_existing_file_is_kept_unless_forced(data_dir, tmp_path, capsys):
    path = tmp_path / "my-data.yaml"
    path.write_text("name: precious\n")
    assert main(["init", str(data_dir), "--no-probe"]) == 2
    assert capsys.readouterr().err == (
        "caption-pipeline: error: my-data.yaml exists; overwrite it with --force, or name another with --output\n"
    )
    assert path.read_text() == "name: precious\n"
    assert main(["init", str(data_dir), "--no-probe", "--force"]) == 0
    assert config_files.load(path).name == "my-data"


def test_a_directory_without_data_is_refused(tmp_path, capsys):
    assert main(["init", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("is empty; give a directory with images and their captions\n")
