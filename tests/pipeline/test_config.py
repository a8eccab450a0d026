import dataclasses

import pytest

from pipeline import config as configs
from pipeline.config import ConfigError, load
from tests.material import ROOT

CONFIGS = sorted((ROOT / "pipeline" / "configs").glob("*.yaml"))


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_only_the_sample_has_random_weights(path):
    config = load(path)
    assert config.name == path.stem
    assert config.feature_extractor.weights == ("random" if path.stem == "sample" else "imagenet")


def test_the_sample_is_the_default():
    assert load() == load(configs.SAMPLE)
    assert load().data.dir is None
    assert load().data_dir == load().root_dir + "/sample_data"


def test_what_a_file_leaves_out_keeps_its_default(file):
    config = load(file("trainer: {epochs: 3}\nevaluator:\n"))
    assert config.trainer == dataclasses.replace(configs.Trainer(), epochs=3)
    assert config.evaluator == configs.Evaluator()


def test_overrides_win_and_are_typed(file):
    config = load(
        file("trainer: {epochs: 3, dropout: 0.2}\nbeam:\n"),
        ["trainer.epochs=5", "evaluator.min_bleu_4=1e-1", "data.limit=null", "beam.args=[--a, --b=c]", "name=other"],
    )
    assert (config.trainer.epochs, config.trainer.dropout, config.evaluator.min_bleu_4) == (5, 0.2, 0.1)
    assert (config.data.limit, config.beam.args, config.name) == (None, ("--a", "--b=c"), "other")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epoch=3", "unknown key trainer.epoch; did you mean epochs?"),
        ("zebra=3", "unknown key zebra; known: name, root, cache"),
        ("data.sample.imags=3", "unknown key data.sample.imags; did you mean images?"),
        ("trainer.epochs=many", "trainer.epochs: .*integer.*'many'"),
        ("trainer.epochs=2.5", "trainer.epochs: .*integer"),
        ("trainer.epochs=0", "trainer.epochs: .*greater than 0"),
        ("data.max_reject_fraction=1.5", "data.max_reject_fraction: .*less than or equal to 1"),
        ("data.dir=5", "data.dir: .*string"),
        ("data.unlisted=maybe", "data.unlisted: .*'train' or 'skip'"),
        ("name=../x", "name: .*pattern"),
        ("trainer.d_model=100", "trainer: .*100 must be a multiple of heads"),
        ("trainer=5", "trainer: "),
        ("trainer.seed=-1", "trainer.seed: .*greater than or equal to 0"),
        ("trainer.epochs", "write key=value"),
        ("trainer.epochs=[", "--set trainer.epochs="),
    ],
)
def test_what_can_not_be_used_is_refused_in_a_line(file, override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(file(""), [override])
    assert "Traceback" not in str(error.value)


def test_all_faults_are_named_at_once(file):
    with pytest.raises(ConfigError, match=r"trainer.epoch;") as error:
        load(file("trainer: {epoch: 3}\ndata: {limit: -1}\n"))
    assert "data.limit" in str(error.value)


def test_a_file_that_can_not_be_read_is_named(file, tmp_path):
    with pytest.raises(ConfigError, match=r"nothing.yaml"):
        load(str(tmp_path / "nothing.yaml"))
    with pytest.raises(ConfigError, match=r"config.yaml: .*not a mapping"):
        load(file("- a list"))
    with pytest.raises(ConfigError, match=r"config.yaml"):
        load(file("a: [unclosed"))


def test_paths_are_checked_before_anything_runs(tmp_path):
    configs.check_paths(load(None, [f"data.dir={tmp_path}"]))
    for bucket in ("data.dir=gs://bucket/flickr8k", "root=gs://bucket/runs"):
        with pytest.raises(ConfigError, match="is no directory; mount the bucket"):
            configs.check_paths(load(None, [bucket]))
    with pytest.raises(ConfigError, match=r"data.dir: /nowhere is not a directory"):
        configs.check_paths(load(None, ["data.dir=/nowhere"]))
    with pytest.raises(ConfigError, match=r"feature_extractor.weights: /nowhere.h5 is not a file"):
        configs.check_paths(load(None, ["feature_extractor.weights=/nowhere.h5"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"root: .*file is not a directory"):
        configs.check_paths(load(None, [f"root={tmp_path}/file"]))
    with pytest.raises(ConfigError, match=r"root: .*a\[1\] has one of the characters"):
        configs.check_paths(load(None, ["root='runs/a[1]'"]))


def test_the_root_is_named_after_the_pipeline_unless_told():
    assert load(None, ["name=mine"]).root_dir.endswith("/runs/mine")
    assert load(None, ["root=/some/where"]).root_dir == "/some/where"


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(None, ["data.dir=~/pictures"]).data.dir == "/home/somebody/pictures"


def test_a_config_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().name = "other"
