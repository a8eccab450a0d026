import pytest

from pipeline import captioning
from pipeline.cli.main import main


def test_a_directory_without_a_model_is_refused(tmp_path, capsys):
    assert main(["caption", "--model", str(tmp_path), "x.jpg"]) == 2
    assert f"caption-pipeline: error: --model {tmp_path}: neither a SavedModel" in capsys.readouterr().err


@pytest.mark.parametrize(("images", "status"), [(["a.jpg"], 0), (["a.jpg", "bad.jpg"], 1)])
def test_a_line_per_image(monkeypatch, capsys, images, status):
    def caption(model, paths):
        for path in paths:
            yield (path, None, "undecodable: no image") if path == "bad.jpg" else (path, f"{model} dog", "")

    monkeypatch.setattr(captioning, "load", lambda directory: f"a {directory}")
    monkeypatch.setattr(captioning, "caption", caption)
    assert main(["caption", "--model", "big", *images]) == status
    captured = capsys.readouterr()
    assert captured.out == "a.jpg\ta big dog\n"
    assert captured.err == ("bad.jpg: not captioned: undecodable: no image\n" if status else "")
