import errno
import os
import pathlib
from unittest import mock

import pytest

from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.caption_ingest.rejects import Reason, Reject, TooManyRejects, check_fraction
from components.feature_extractor.backbones import registry
from components.feature_extractor.executor import store_of
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.backbone_description import BackboneDescription
from pipeline import local_run
from pipeline.cli.main import main
from pipeline.config import ConfigError


def cause(message: str) -> list[str]:
    failure = RuntimeError("a step failed")
    failure.__cause__ = ValueError(message)
    return local_run.describe_cause(failure, "runs/r/log.txt").splitlines()


def test_a_short_cause_is_complete():
    assert cause("one\ntwo") == ["one", "two"]
    assert cause("") == ["ValueError"]
    assert cause("Traceback (most recent call last):\n  File x\nValueError: why") == ["ValueError: why"]


def test_a_long_cause_is_cut_and_refers_to_the_log():
    lines = [f"line {number}" for number in range(100)]
    assert cause("\n".join(lines)) == [*lines[:60], "… and 40 more lines; all of them are in runs/r/log.txt"]
    assert cause("\n".join(lines[:60])) == lines[:60]


def test_the_table_of_all_reject_reasons_is_complete():
    rejects = [Reject("x", 1, reason, "detail") for reason in Reason for _ in range(4)]
    with pytest.raises(TooManyRejects) as error:
        check_fraction(rejects, 1, 0.0)
    assert cause(str(error.value)) == str(error.value).splitlines()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FeatureExtractorSettings("MobileNet", "/nowhere.h5"), "feature_extractor.weights: /nowhere.h5 is neither"),
        (FeatureExtractorSettings("MobileNett", "random"), "feature_extractor.backbone: unknown backbone MobileNett"),
    ],
)
def test_the_source_refuses_a_backbone_that_it_does_not_have(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        local_run.check_backbone(settings, str(tmp_path))


class ToySource:
    """A source with weights of its own name, which cannot be downloaded."""

    name = choices = "toy"

    def matches(self, settings):
        return settings.weights == "of-the-toy"

    def input_size(self, settings):
        return 8

    def weights_identity(self, settings):
        return "1"

    def build(self, settings):
        raise ValueError("the weights can't be downloaded")


def test_weights_that_cannot_be_downloaded_are_refused_at_the_start(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "SOURCES", [ToySource()])
    settings = FeatureExtractorSettings("Toy", "of-the-toy")
    with pytest.raises(ConfigError, match="the weights can't be downloaded"):
        local_run.check_backbone(settings, str(tmp_path))
    store = pathlib.Path(store_of(settings, str(tmp_path)).directory)
    (store / "backbone-1").mkdir(parents=True)
    (store / "backbone-1" / "saved_model.pb").touch()
    BackboneDescription("Toy", "of-the-toy", 8, "backbone-1", (1, 1), 1).write(str(store))
    local_run.check_backbone(settings, str(tmp_path))  # the feature store has the network already


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "ptb"}, r"evaluator\.tokenizer: metrics by COCO's PTB .* not computed: Java is not installed"),
        (
            {"spice_dir": "/nowhere"},
            r"evaluator\.spice_dir: SPICE .*: /nowhere lacks .*models\.jar, of https://nlp\.stan",
        ),
        ({"max_regression": {"spice": 0.1}}, r"evaluator\.spice_dir: SPICE is not computed: set evaluator\.spice_dir"),
        ({"max_regression": {"meteor": 0.1}}, r"evaluator\.max_regression\.meteor: METEOR .*: Java is not installed"),
    ],
)
def test_rules_on_metrics_that_need_java_are_refused_at_the_start(settings, message, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    local_run.check_rules(BleuEvaluatorSettings())
    with pytest.raises(ConfigError, match=message):
        local_run.check_rules(BleuEvaluatorSettings(**settings))


@pytest.mark.parametrize("setting", ["clip_dir", "spice_dir"])
def test_a_directory_of_metrics_that_cannot_be_read_is_refused_at_the_start(setting, tmp_path):
    (tmp_path / "file").touch()
    directories = {
        "nowhere://files": "nowhere://files.*: nowhere:// is not a known file system",
        str(tmp_path / "file"): r"\[Errno 20\] Not a directory|file lacks stanford",
        str(tmp_path / "gone"): r"\[Errno 2\] No such file or directory|gone lacks stanford",
    }
    for directory, message in directories.items():
        with pytest.raises(ConfigError, match=rf"^evaluator\.{setting}: .*({message}).*$") as error:
            local_run.check_rules(BleuEvaluatorSettings(**{setting: directory}))
        assert "\n" not in str(error.value)


def test_a_uri_without_the_preset_of_a_clip_is_refused_at_the_start(bucket):
    uri = f"{bucket}/clip"
    with pytest.raises(ConfigError, match=rf"^evaluator\.clip_dir: \[Errno 2\] No such object or bucket: '{uri}'$"):
        local_run.check_rules(BleuEvaluatorSettings(clip_dir=uri))


def test_a_full_disk_is_refused_at_the_start(tmp_path, monkeypatch, capsys):
    """A mock stands for the full disk, which no test can have."""

    def allocate(descriptor, offset, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    assert main(["run", "--root", str(tmp_path / "root")]) == 2
    error = f"root: {tmp_path / 'root'} cannot be written to (No space left on device)"
    assert capsys.readouterr().err.startswith(f"caption-pipeline: error: {error}\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_space_is_only_tried(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    local_run.check_space(str(path))
    monkeypatch.setattr(os, "posix_fallocate", mock.Mock(side_effect=OSError(errno.EOPNOTSUPP, "not supported")))
    local_run.check_space(str(path))  # a file system that cannot allocate
    assert not path.exists()


def test_a_setting_that_the_error_of_a_step_is_about_is_explained():
    [line] = local_run.help_of("CaptionIngest failed: data.dir: several caption files in images: a, b")
    assert line.startswith("  data.dir: Directory with captions") and line.endswith("; see docs/configuration.md#data")
    assert local_run.help_of("interrupted; completed steps are cached; rerun to resume") == []
