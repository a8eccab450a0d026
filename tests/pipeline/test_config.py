import dataclasses
import re

import pytest

from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared.models.settings import GRUSettings, TransformerSettings
from components.shared.settings import description_of
from components.trainer.settings import TrainerSettings
from pipeline import builtin_configs
from pipeline.config import ConfigError, KubeflowSettings, ResourceSettings, check_paths
from pipeline.config_files import RENAMED, RENAMED_VALUES, SAMPLE, load
from tests.factories import ROOT

CONFIGS = sorted((ROOT / "pipeline" / "configs").glob("*.yaml"))


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_only_the_sample_and_debug_have_random_weights(path):
    config = load(path)
    assert config.name == path.stem
    assert config.feature_extractor.weights == ("random" if path.stem in ("sample", "debug") else "imagenet")


def test_the_sample_is_the_default():
    assert load() == load(SAMPLE)
    assert load().data.dir is None
    assert load().data_dir == load().root_dir + "/sample_data"


def test_a_built_in_config_is_named_without_its_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load("rsicd") == load(builtin_configs.DIRECTORY / "rsicd.yaml")
    assert load(["debug", "spark"]).name == "debug"  # an overlay
    (tmp_path / "rsicd").write_text("name: mine")
    assert load("rsicd").name == "mine"  # a file comes first
    with pytest.raises(ConfigError, match=r"riscd: no such file, and no built-in config \(debug, flickr8k, rsicd, "):
        load("riscd")


def test_what_a_file_leaves_out_keeps_its_default(file):
    config = load(file("trainer: {epochs: 3}\nevaluator:\n"))
    assert config.trainer == dataclasses.replace(TrainerSettings(), epochs=3)
    assert config.evaluator == BleuEvaluatorSettings()


def test_overrides_win_and_are_typed(file):
    config = load(
        file("trainer: {epochs: 3, model: {dropout: 0.2}}\nbeam:\n"),
        [
            "trainer.epochs=5",
            "evaluator.min_bleu_4=1e-1",
            "data.max_images=null",
            "beam.pipeline_args=[--a, --b=c]",
            "name=other",
        ],
    )
    assert (config.trainer.epochs, config.trainer.model.dropout, config.evaluator.min_bleu_4) == (5, 0.2, 0.1)
    assert (config.data.max_images, config.beam.pipeline_args, config.name) == (None, ("--a", "--b=c"), "other")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epoch=3", "unknown key trainer.epoch; did you mean trainer.epochs?"),
        ("zebra=3", "unknown key zebra; known keys: name, root, cache"),
        ("trainer.num_heads=4", "unknown key trainer.num_heads; did you mean trainer.model.num_heads?"),
        ("trainer.warmup_steps=4", "unknown key trainer.warmup_steps; did you mean trainer.optimizer.warmup_steps?"),
        ("data.sample.num_imags=3", "unknown key data.sample.num_imags; did you mean data.sample.num_images?"),
        ("trainer.epochs=many", "trainer.epochs: .*integer.*'many'"),
        ("trainer.epochs=2.5", "trainer.epochs: .*integer"),
        ("trainer.epochs=0", "trainer.epochs: .*greater than 0"),
        ("data.max_reject_fraction=1.5", "data.max_reject_fraction: .*less than or equal to 1"),
        ("data.unlisted_images=maybe", "data.unlisted_images: .*'train' or 'skip'"),
        ("name=../x", "name: .*pattern"),
        ("trainer.model.d_model=100", r"trainer.model: d_model 100 must be a multiple of num_heads \(8\) and of 4"),
        ("trainer.model.name=gru_2", "trainer.model: no model 'gru_2'; the models are transformer, gru"),
        ("trainer.model.head=4", "unknown key trainer.model.head; did you mean trainer.model.num_heads?"),
        (
            "trainer.comparison_models=[{name: gru, unit: 3}]",
            "comparison_models.0.unit; did you mean trainer.comparison_models.0.units?",
        ),
        ("decoding.max_length=-1", "decoding.max_length: .*greater than or equal to 0"),
        ("data.dir=", "the value is empty"),
        ("trainer=5", "trainer: "),
        ("trainer.seed=-1", "trainer.seed: .*greater than or equal to 0"),
        ("trainer.epochs", "write KEY=VALUE"),
        ("trainer.epochs=[", "--set trainer.epochs="),
        ("trainer.epochs=2026-13-01", "--set trainer.epochs=2026-13-01: month must be in"),
        ("data.split_fractions=" + "{a: " * 30 + "1" + "}" * 30, "nested more than 20 levels deep"),
        ("data.split_fractions=&a {train: *a}", "an alias contains itself"),
        ("trainer.comparison_models=&a [*a]", "an alias contains itself"),
        ("name=" + "a" * 64, "name: .*at most 63 characters"),
        ("trainer.epoch=null", "unknown key trainer.epoch; did you mean trainer.epochs?"),
        ("trainer.model.head=null", "unknown key trainer.model.head; did you mean trainer.model.num_heads?"),
        ("zebra=null", "unknown key zebra; known keys: name, root, cache"),
        ("trainer.models=[gru]", r"trainer.models is now called .*comparison_models \(without the first, which is"),
        ("trainer.model=attention", "trainer.model: attention is now called gru"),
        ("trainer.model.name=attention", "trainer.model: attention is now called gru"),
        ("trainer.comparison_models=[attention]", "trainer.comparison_models.0: attention is now called gru"),
    ],
)
def test_what_can_not_be_used_is_refused_in_a_line(file, override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(file(""), [override])
    assert "Traceback" not in str(error.value)


def test_all_faults_are_named_at_once(file):
    with pytest.raises(ConfigError, match=r"trainer.epoch;") as error:
        load(file("trainer: {epoch: 3}\ndata: {max_images: -1}\n"))
    assert "data.max_images" in str(error.value)


def test_a_file_that_can_not_be_read_is_named(file, tmp_path):
    with pytest.raises(ConfigError, match=r"nothing.yaml"):
        load(str(tmp_path / "nothing.yaml"))
    with pytest.raises(ConfigError, match=r"config.yaml: .*not a mapping"):
        load(file("- a list"))
    with pytest.raises(ConfigError, match=r"config.yaml"):
        load(file("a: [unclosed"))


def test_paths_are_checked_before_anything_runs(tmp_path):
    check_paths(load(None, [f"data.dir={tmp_path}"]))
    with pytest.raises(ConfigError, match=r"data.dir: /nowhere is not a directory"):
        check_paths(load(None, ["data.dir=/nowhere"]))
    (tmp_path / "file").write_text("")
    for key in ("root", "feature_extractor.store_dir"):
        with pytest.raises(ConfigError, match=rf"{key}: .*file is not a directory"):
            check_paths(load(None, [f"{key}={tmp_path}/file"]))
        with pytest.raises(ConfigError, match=rf"{key}: .*a\[1\] must not contain"):
            check_paths(load(None, [f"{key}=runs/a[1]"]))


def test_the_root_is_named_after_the_pipeline_unless_told():
    assert load(None, ["name=mine"]).root_dir.endswith("/runs/mine")
    assert load(None, ["root=/some/where"]).root_dir == "/some/where"


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(None, ["data.dir=~/pictures"]).data.dir == "/home/somebody/pictures"


def test_a_config_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().name = "other"


def test_text_on_the_command_line_is_taken_as_it_is():
    config = load(
        None, ["data.dir=/data/set #2", "data.caption_files=*.json", "name=12", "feature_extractor.weights=a: b"]
    )
    assert (config.data.dir, config.data.caption_files, config.name) == ("/data/set #2", "*.json", "12")
    assert config.feature_extractor.weights == "a: b"
    assert load(None, ["data.dir=null"]).data.dir is None


def test_a_model_is_chosen_by_its_name_and_has_its_own_settings():
    assert load(None, ["trainer.model=gru"]).trainer.model == GRUSettings()
    config = load(None, ["trainer.model.name=gru", "trainer.model.units=32", "trainer.model.d_model=64"])
    assert config.trainer.model == GRUSettings(d_model=64, units=32)


def test_another_model_does_not_inherit_the_settings_of_the_one_before(file, tmp_path):
    before = file("trainer: {model: {num_heads: 4, d_model: 64}}")
    (tmp_path / "other.yaml").write_text("trainer: {model: {name: gru, units: 32}}")
    assert load([before, tmp_path / "other.yaml"]).trainer.model == GRUSettings(units=32)
    assert load(before, ["trainer.model.name=gru"]).trainer.model == GRUSettings()
    same = load(before, ["trainer.model.name=transformer", "trainer.model.dropout=0"]).trainer.model
    assert same == TransformerSettings(num_heads=4, d_model=64, dropout=0)


def test_a_setting_that_the_model_does_not_have_is_refused(file):
    with pytest.raises(ConfigError, match=r"unknown key trainer.model.num_heads; known keys: name, d_model, units"):
        load(file("trainer: {model: {name: gru, num_heads: 4}}"))


def test_comparison_models_may_be_any_number():
    config = load(None, ["trainer.comparison_models=[gru, {name: transformer, d_model: 64}]"])
    assert config.trainer.comparison_models == (GRUSettings(), TransformerSettings(d_model=64))


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_key_is_refused_with_its_new_name(old, file):
    new = RENAMED[old] if isinstance(RENAMED[old], str) else RENAMED[old][0]
    message = f"{old} is now called {new}"
    if old.split(".")[-1] == new.split(".")[-1]:  # who writes it looks for it in the wrong section
        message = f"unknown key {old}; did you mean {new}?"
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(file(""), [f"{old}=3"])
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(file(""), [f"{old}=null"])
    keys = new.split(".")
    section = load()
    for key in keys:
        section = getattr(section, key)  # which is there


@pytest.mark.parametrize(("key", "value"), RENAMED_VALUES)
def test_an_old_value_is_refused_with_its_new_name(key, value):
    with pytest.raises(ConfigError, match=f"{value} is now called {RENAMED_VALUES[key, value]}"):
        load(None, [f"{key}={value}"])


def test_an_empty_text_is_allowed_where_it_has_a_meaning():
    assert load(None, ["kubeflow.pvc_name="]).kubeflow.pvc_name == ""


def test_a_null_is_kept_where_it_has_a_meaning(file):
    for config in (load(None, ["kubeflow.pvc_name=null"]), load(file("kubeflow: {pvc_name: null}"))):
        assert config.kubeflow.pvc_name is None
    assert load(None, ["kubeflow.mount_path=null"]).kubeflow == KubeflowSettings()


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_SECRET_ACCESS_KEY: x",
        "AWS_ACCESS_KEY_ID: x",
        "aws_session_token: x",
        "METADATA_PASSWORD: x",
        "A: s3://u:x@h",
    ],
)
def test_a_secret_in_the_environment_of_the_steps_is_refused_and_not_shown(file, variable):
    with pytest.raises(
        ConfigError, match=f"kubeflow.environment: {variable.partition(':')[0]} would be readable"
    ) as error:
        load(file(f"kubeflow: {{environment: {{{variable.replace('x', 'marked')}}}}}"))
    assert "marked" not in str(error.value)


def test_resources_are_merged_over_the_defaults(file):
    default = KubeflowSettings()
    path = file("kubeflow: {default_resources: {memory: 8Gi}}")
    kubeflow = load(path, ["kubeflow.step_resources.Trainer.gpu=1"]).kubeflow
    assert kubeflow.default_resources == dataclasses.replace(default.default_resources, memory="8Gi")
    assert kubeflow.step_resources == default.step_resources | {
        "Trainer": dataclasses.replace(default.step_resources["Trainer"], gpu=1)
    }
    left = load(None, ["kubeflow.default_resources.cpu=null", "kubeflow.step_resources.Trainer=null"]).kubeflow
    assert left.default_resources == ResourceSettings(memory="4Gi") and list(left.step_resources) == [
        "FeatureExtractor"
    ]
    assert load().kubeflow == default


def test_yaml_that_never_ends_is_refused_in_a_line(file):
    with pytest.raises(ConfigError, match=r"config.yaml"):
        load(file("[" * 5_000))
    with pytest.raises(ConfigError, match=r"config.yaml: nested more than 20 levels deep, or an alias contains itself"):
        load(file("trainer: &a {model: *a}"))


def test_every_setting_is_described():
    def check(settings: object, key: str) -> None:
        for field in dataclasses.fields(settings):
            description = description_of(type(settings), field.name)
            assert description and description.endswith("."), f"{key}{field.name}"
            value = getattr(settings, field.name)
            if dataclasses.is_dataclass(value):
                check(value, f"{key}{field.name}.")

    check(load(), "")
    check(GRUSettings(), "trainer.model.")
