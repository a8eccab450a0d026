import pytest
from captions_kubeflow.parameters import PARAMETERS, ParameterError, arguments, parameter_name, parse

from pipeline.config import Config


def test_arguments_are_typed():
    texts = ["trainer.epochs=3", "data.dir=/captions/a=b", "evaluator.min_gain=1", "data.limit=7.0"]
    found = arguments(texts)
    assert found == {"trainer_epochs": 3, "data_dir": "/captions/a=b", "evaluator_min_gain": 1.0, "data_limit": 7}
    assert [type(value) for value in found.values()] == [int, str, float, int]
    assert arguments([]) == {}


def test_the_clusters_own_names_will_do():
    assert arguments(["trainer_epochs=3"]) == {"trainer_epochs": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer.epochs", "--param trainer.epochs: write KEY=VALUE, as in --param trainer.epochs=3"),
        ("trainer.heads=3", "no parameter trainer_heads; there are data_dir, "),
        ("trainer.epochs=many", "trainer_epochs: 'many' is not of type int"),
    ],
)
def test_what_can_not_be_given_is_refused(text, message):
    with pytest.raises(ParameterError, match=message):
        arguments([text])


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("3.0", 3), ("-1", -1), ("0.0", 0)])
def test_a_whole_number_may_have_a_point(text, value):
    assert parse("trainer_epochs", text) == value
    assert type(parse("trainer_epochs", text)) is int


@pytest.mark.parametrize("text", ["3.5", "1e3", ".", "nan", ""])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ParameterError, match="is not of type int"):
        parse("trainer_epochs", text)


@pytest.mark.parametrize("key", PARAMETERS)
def test_each_parameter_is_a_setting_of_its_type(key):
    section, name = key.split(".")
    default = getattr(getattr(Config(), section), name)
    assert default is None or type(default) is PARAMETERS[key]
    assert parameter_name(key) == f"{section}_{name}"
