import pytest
from captions_kubeflow.parameters import PARAMETERS, ParameterError, overrides, parameter_name, parse, parse_arguments

from pipeline.config import Config
from pipeline.config_files import load


def test_arguments_are_typed():
    texts = ["trainer.epochs=3", "data.dir=/captions/a=b", "evaluator.min_bleu_4=1", "data.max_images=7.0"]
    values = parse_arguments(texts)
    assert values == {
        "trainer_epochs": 3,
        "data_dir": "/captions/a=b",
        "evaluator_min_bleu_4": 1.0,
        "data_max_images": 7,
    }
    assert [type(value) for value in values.values()] == [int, str, float, int]
    assert parse_arguments([]) == {}


def test_names_of_the_cluster_are_accepted():
    assert parse_arguments(["trainer_epochs=3"]) == {"trainer_epochs": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer.epochs", "--param trainer.epochs: write KEY=VALUE, as in --param trainer.epochs=3"),
        ("trainer.seed=3", "unknown parameter trainer_seed; the parameters are data_dir, "),
        ("trainer.epochs=many", "trainer_epochs: 'many' is not of type int"),
    ],
)
def test_invalid_arguments_are_rejected(text, message):
    with pytest.raises(ParameterError, match=message):
        parse_arguments([text])


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("3.0", 3), ("-1", -1), ("0.0", 0)])
def test_an_integer_may_have_a_decimal_point(text, value):
    assert parse("trainer_epochs", text) == value
    assert type(parse("trainer_epochs", text)) is int


@pytest.mark.parametrize("text", ["3.5", "1e3", ".", "nan", ""])
def test_what_is_not_an_integer_is_rejected(text):
    with pytest.raises(ParameterError, match="is not of type int"):
        parse("trainer_epochs", text)


def test_overrides_reach_the_config():
    values = {"trainer_epochs": 3, "data_dir": "/captions/a b", "data_max_images": 0, "evaluator_min_bleu_4": 0.25}
    config = load(None, overrides(values))
    assert (config.trainer.epochs, config.data.dir) == (3, "/captions/a b")
    assert (config.data.max_images, config.evaluator.min_bleu_4) == (None, 0.25)


@pytest.mark.parametrize("key", PARAMETERS)
def test_each_parameter_is_a_setting_of_its_type(key):
    section, name = key.split(".")
    default = getattr(getattr(Config(), section), name)
    assert default is None or type(default) is PARAMETERS[key]
    assert parameter_name(key) == f"{section}_{name}"
