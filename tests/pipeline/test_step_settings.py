import pytest

from pipeline.step_settings import config_keys, flatten, without_code


def test_a_step_has_its_section_of_a_config_file():
    properties = {"settings": '{"optimizer": {"warmup_steps": 20}, "seed": null}', "epochs": 3, "code": "0a"}
    keys = {"trainer.optimizer.warmup_steps": 20, "trainer.seed": None, "trainer.epochs": 3, "trainer.code": "0a"}
    assert config_keys("Trainer", properties) == keys
    assert config_keys("Exporter", {"settings": '{"beam_size": 3}'}) == {"decoding.beam_size": 3}
    assert config_keys("Transform", {"custom_config": '{"vocabulary_size": 9}'}) == {"tokenizer.vocabulary_size": 9}


def test_a_comparison_model_has_a_section_with_its_label():
    assert config_keys("Trainer_gru_2", {"epochs": 3}) == {"trainer_gru_2.epochs": 3}


def test_a_step_without_a_section_keeps_its_name():
    assert config_keys("StatisticsGen", {"num_threads": 2}) == {"StatisticsGen.num_threads": 2}
    assert config_keys("Report", {"settings": "", "code": "0a"}) == {"Report.code": "0a"}
    assert config_keys("Pusher", {"custom_config": "null", "push_destination": "{}"}) == {}


@pytest.mark.parametrize("name", ["checkpoint_dir", "store_dir", "cache_dir", "memory_dir", "fingerprint", "lineage"])
def test_places_and_observations_are_no_settings(name):
    assert flatten({name: "x", "epochs": 3}) == {"epochs": 3}


def test_settings_of_version_0_1_are_one_level_up():
    assert flatten({"custom_config": '{"settings": {"seed": 7}}'}) == {"seed": 7}


def test_text_that_is_no_json_object_is_a_value():
    assert flatten({"dir": "{SPAN}", "split": "[1]", "empty": "{}"}) == {"dir": "{SPAN}", "split": "[1]", "empty": {}}


def test_the_code_can_be_left_out():
    assert without_code({"epochs": 3, "code": "0a", "source": "0b"}) == {"epochs": 3}
