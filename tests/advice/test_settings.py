"""What errors about settings and arguments advise, done."""

import dataclasses
import math
import re
import shlex

import pytest

from components.shared.models import registry
from components.shared.models.registry import ModelEntry
from pipeline import database, local_run, setting_help
from pipeline.cli.main import build_parser, find_commands, main
from pipeline.config import check_engines, check_metadata, check_paths, check_uris
from pipeline.config_files import RENAMED, RENAMED_VALUES, load
from tests.messages import filled_in, refusal

KEYS = {row.key: title for title, _, rows in setting_help.sections() for row in rows}


@pytest.mark.parametrize("key", KEYS)
def test_the_nearest_key_is_the_one_that_was_meant(key):
    model = ["trainer.model=gru"] if "name: gru" in KEYS[key] else []
    with refusal("unknown key …; …") as advice:
        load(None, [*model, f"{key[:-1]}=null"])
    nearest = re.fullmatch(r"did you mean (\S+)\?", advice[1])
    assert nearest and nearest[1] == key
    load(None, [*model, f"{nearest[1]}=null"])


def test_each_of_the_known_keys_can_be_set():
    with refusal("unknown key …; …") as advice:
        load(None, ["trainer.optimizer.zebra=1"])
    for name in advice[1].removeprefix("known keys: ").split(", "):
        load(None, [f"trainer.optimizer.{name}=null"])


@pytest.mark.parametrize(
    "old",
    [old for old, new in RENAMED.items() if isinstance(new, str) and old.split(".")[-1] != new.split(".")[-1]],
)
def test_the_new_name_of_a_key_is_accepted(old):
    with refusal("… is now called …") as advice:
        load(None, [f"{old}=null"])
    load(None, [f"{advice[1]}=null"])


def test_the_forms_of_a_uri_of_metadata_are_accepted():
    with refusal("write sqlite:///PATH or mysql://HOST[:PORT]/DATABASE"):
        load(None, ["metadata=captions.sqlite"])
    for uri in ("sqlite:///PATH", "mysql://HOST/DATABASE", "mysql://HOST:3307/DATABASE"):
        assert load(None, [f"metadata={uri}"]).metadata == uri


def test_the_credentials_of_a_database_are_in_the_environment():
    message = (
        "a URI with a user or a password would show them in logs and reports; set METADATA_USER and METADATA_PASSWORD "
        "in the environment instead"
    )
    with refusal(message):
        load(None, ["metadata=mysql://user:password@db/captions"])
    environment = dict.fromkeys(re.findall("METADATA_[A-Z]+", message), "secret")
    connection = database.connection_of(load(None, ["metadata=mysql://db/captions"]).metadata or "")
    assert database.new_handle(connection, environment).connection_config.mysql.password == "secret"


def test_each_way_out_for_a_root_in_a_bucket_is_accepted():
    with refusal(
        "metadata: … is in a bucket, where SQLite can't write: set metadata=sqlite:///PATH, a file on this machine, or "
        "metadata=mysql://HOST/DATABASE, a server for all machines"
    ) as advice:
        check_metadata(load(None, ["root=s3://bucket/mine"]))
    for uri in ("sqlite:///PATH", "mysql://HOST/DATABASE"):
        assert check_metadata(load(None, [f"root={advice[0]}", f"metadata={uri}"])) == uri


CHANGED_VALUES = {
    "trainer.models=[transformer, gru]": "[gru]",
    "trainer.norm=pre": "true",
    "trainer.schedule=rsqrt": "inverse_sqrt",
    "trainer.alike=pictures": "per_image",
    "beam.steps={Transform: --x}": "{Transform: [--x]}",
}


@pytest.mark.parametrize("old", CHANGED_VALUES)
def test_a_value_of_a_renamed_key_is_changed_as_the_error_says(old):
    assert {each.partition("=")[0] for each in CHANGED_VALUES} == {
        k for k, new in RENAMED.items() if type(new) is tuple
    }
    with refusal("… is now called … (…)") as advice:
        load(None, [old])
    load(None, [f"{advice[1]}={CHANGED_VALUES[old]}"])


@pytest.mark.parametrize("place", [*RENAMED_VALUES, ("trainer.model", "attention")])
def test_the_new_name_of_a_value_is_accepted(place):
    with refusal("…: … is now called …") as advice:
        load(None, ["=".join(place)])
    load(None, [f"{place[0]}={advice[2]}"])


def test_each_of_the_models_can_be_chosen():
    with refusal("no model …; the models are …") as advice:
        load(None, ["trainer.model=lstm"])
    for name in advice[1].split(", "):
        assert load(None, [f"trainer.model={name}"]).trainer.model.name == name


def test_a_model_is_a_name_or_a_mapping():
    with refusal("must be a model's name or a mapping of its settings"):
        load(None, ["trainer.model=3"])
    for value in ("gru", "{name: gru}"):
        assert load(None, [f"trainer.model={value}"]).trainer.model.name == "gru"


def test_a_width_that_is_such_a_multiple_is_accepted():
    with refusal("d_model … must be a multiple of num_heads (…) and of 4") as advice:
        load(None, ["trainer.model.d_model=98"])
    load(None, [f"trainer.model.d_model={math.lcm(int(advice[1]), 4)}"])


def test_lengths_in_order_are_accepted():
    with refusal("max_length … is less than min_length …") as advice:
        load(None, ["decoding.max_length=3", "decoding.min_length=5"])
    load(None, [f"decoding.max_length={advice[1]}", f"decoding.min_length={advice[0]}"])


@pytest.mark.parametrize("way_out", ["peak_learning_rate=0.001", "lr_schedule=cosine"])
def test_a_model_without_d_model_has_a_learning_rate(monkeypatch, way_out):
    @dataclasses.dataclass(frozen=True)
    class Settings:
        name: str = "other"

    monkeypatch.setitem(registry.MODELS, "other", ModelEntry(Settings, "nowhere:Other"))
    with refusal(
        "optimizer.peak_learning_rate must be set: its default with inverse_sqrt depends on d_model, which the model … "
        "does not have"
    ):
        load(None, ["trainer.model=other"])
    load(None, ["trainer.model=other", f"trainer.optimizer.{way_out}"])


@pytest.mark.parametrize("name", ["cidr", "zebra"])
def test_the_metrics_that_are_named_can_be_limited(name):
    with refusal("unknown metric …; …") as advice:
        load(None, [f"evaluator.max_regression.{name}=0.1"])
    hint = advice[1].removeprefix("did you mean ").removeprefix("known metrics: ").removesuffix("?")
    for metric in hint.split(", "):
        load(None, [f"evaluator.max_regression.{metric}=0.1"])


def test_the_metrics_that_can_regress_can_be_limited():
    with refusal("… only describes the captions; metrics that can regress: …") as advice:
        load(None, ["evaluator.max_regression.unique_words=0.1"])
    for metric in advice[1].split(", "):
        load(None, [f"evaluator.max_regression.{metric}=0.1"])


def test_the_example_of_an_override_is_one():
    message = "--set …: write KEY=VALUE, as in --set trainer.epochs=3"
    with refusal(message):
        load(None, ["trainer.epochs"])
    assert load(None, [message.rpartition("--set ")[2]]).trainer.epochs == 3


def test_an_empty_value_is_left_out_or_null():
    with refusal("--set …: the value is empty; omit the setting, or write …=null") as advice:
        load(None, ["data.dir="])
    assert load().data.dir is load(None, [f"{advice[1]}=null"]).data.dir is None


@pytest.mark.parametrize(("key", "wrong"), [("trainer.epochs", "0"), ("evaluator.max_p_value", "7")])
def test_a_value_within_the_bounds_of_the_help_is_accepted(key, wrong, capsys):
    assert main(["compare", "--set", f"{key}={wrong}"]) == 2
    error = capsys.readouterr().err
    filled_in("…: …, not …", error)
    default = re.search(r"default (\S+);", error)
    assert default and load(None, [f"{key}={default[1]}"])


def test_each_of_the_built_in_configs_can_be_read():
    with refusal("…: no such file, and no built-in config (…)") as advice:
        load("sampel")
    for name in advice[1].split(", "):
        assert load(name).trainer.epochs


def test_a_file_of_settings_is_a_mapping_that_is_not_too_deep(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("- trainer.epochs=3")
    with refusal("…: not a mapping of settings") as advice:
        load(path)
    assert advice == [str(path)]
    path.write_text("trainer: &a {epochs: *a}")
    with refusal("…: nested more than … levels deep, or an alias contains itself"):
        load(path)
    path.write_text("trainer: {epochs: 3}")
    assert load(path).trainer.epochs == 3


def test_a_file_in_the_place_of_a_directory_is_moved_away(tmp_path):
    path = tmp_path / "root"
    path.touch()
    with refusal("…: … is not a directory") as advice:
        check_paths(load(None, [f"root={path}"]))
    assert advice == ["root", str(path)]
    path.rename(tmp_path / "moved")
    check_paths(load(None, [f"root={path}"]))


def test_a_directory_is_renamed_without_the_characters_of_patterns(tmp_path):
    message = "…: … must not contain *, ?, [ or ]"
    with refusal(message) as advice:
        check_paths(load(None, [f"root={tmp_path}/run[1]?"]))
    characters = message.partition("contain ")[2].replace(",", "").replace("or", "").split()
    check_paths(load(None, [f"root={''.join(each for each in advice[1] if each not in characters)}"]))


@pytest.mark.parametrize("root", ["s3:/bucket/captions", "s3://", "s3://bucket//captions", "s3://bucket/a/../captions"])
def test_a_uri_is_written_as_it_is_told(root):
    with refusal("…: … must be …://BUCKET/PREFIX, without //, . or .. in it") as advice:
        check_uris(load(None, [f"root={root}"]))
    assert advice == ["root", root, "s3"]
    check_uris(load(None, [f"root={advice[2]}://bucket/captions/"]))


@pytest.mark.parametrize("data", ["s3://bucket", "s3://bucket/captions/"])
def test_what_a_run_writes_lies_beside_the_data(data):
    message = (
        "data.dir: … has … in it, and what a run writes there would be read as data: set data.dir to a prefix of the "
        "images and captions alone, or … to one beside it"
    )
    with refusal(message) as advice:
        check_uris(load(None, ["root=s3://bucket/captions", f"data.dir={data}"]))
    assert advice == [data.rstrip("/"), "s3://bucket/captions", "root"]
    for beside in ("s3://bucket/captions-data", "s3://bucket/captions/data"):
        check_uris(load(None, ["root=s3://bucket/captions", f"data.dir={beside}"]))


def test_another_root_can_be_written_to(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(local_run, "_run", lambda *arguments: 0)
    (tmp_path / "file").touch()
    assert main(["run", "--root", f"{tmp_path}/file/root"]) == 2
    filled_in("root: … cannot be written to (…)", capsys.readouterr().err)
    assert main(["run", "--root", f"{tmp_path}/root"]) == 0


def test_the_help_that_is_named_answers(capsys):
    assert main(["features", "--keep-last", "x"]) == 2
    command = filled_in("… (see … --help)", capsys.readouterr().err)[1]
    with pytest.raises(SystemExit) as exit_status:
        main([*shlex.split(command)[1:], "--help"])
    assert exit_status.value.code == 0 and "--keep-last N" in capsys.readouterr().out


def test_an_option_with_an_empty_directory_is_left_out(capsys):
    arguments = ["compare", "--root", ""]
    assert main(arguments) == 2
    filled_in("the directory name is empty (is a shell variable unset?)", capsys.readouterr().err)
    assert build_parser(find_commands()).parse_args(arguments[:1]).root is None


def test_a_renamed_command_has_its_new_name(capsys):
    assert main(["store"]) == 2
    [_, new] = filled_in("… is now called …", capsys.readouterr().err)
    command = new.partition(",")[0]
    assert build_parser(find_commands()).parse_args([command]).command == command == "features"


def test_options_of_tfxs_own_steps_are_left_out_where_the_root_is_in_a_bucket():
    overrides = ["root=s3://bucket/root", "beam.step_args.Transform=[--direct_num_workers=2]"]
    with refusal("beam.step_args: … runs where the run is, since the root is in a bucket; leave its options out"):
        check_engines(load(None, overrides))
    check_engines(load(None, overrides[:1]))
