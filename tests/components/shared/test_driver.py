"""A driver as TFX's launcher asks it; those of the steps are tested with the steps."""

from tfx.orchestration.portable import data_types

from components.shared.driver import ObservingDriver


def test_what_is_observed_reaches_the_executor_and_the_cache_key():
    class Driver(ObservingDriver):
        def observe(self, execution_info):
            return {"version": f"{execution_info.exec_properties['name']} 1", "number": 2}

    info = data_types.ExecutionInfo(exec_properties={"name": "a"})
    output = Driver(None).run(info)
    assert info.exec_properties == {"name": "a", "version": "a 1", "number": 2}
    assert output.exec_properties["version"].string_value == "a 1"
    assert output.exec_properties["number"].int_value == 2
