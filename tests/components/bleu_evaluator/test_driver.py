"""What the evaluator observes of an evaluation whose files are gone. Its other observations: `test_executor`."""

import pytest
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts

from components.bleu_evaluator.driver import Driver
from components.bleu_evaluator.executor import UNCOMPARED_MODELS
from components.shared.records import EVALUATION_FILE
from tests.fake_mlmd import FakeMlmd


class Handle:
    """TFX's handle on a store, which it closes after use."""

    def __init__(self, fake_mlmd: FakeMlmd):
        self.store = fake_mlmd.store

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize("is_there", [True, False])
def test_a_blessed_model_whose_evaluation_was_deleted_is_evaluated_again(tmp_path, is_there):
    fake_mlmd, model = FakeMlmd(), standard_artifacts.Model()
    model.id, model.uri = fake_mlmd.artifact("Model"), str(tmp_path / "model")
    fake_mlmd.artifact("ModelEvaluation", str(tmp_path / "evaluation"), candidate_id=model.id)
    if is_there:
        (tmp_path / "evaluation").mkdir()
        (tmp_path / "evaluation" / EVALUATION_FILE).write_text("{}")
    info = data_types.ExecutionInfo(input_dict={"model": [model], "baseline_model": [model]}, exec_properties={})
    observed = Driver(Handle(fake_mlmd)).run(info).exec_properties[UNCOMPARED_MODELS].string_value
    assert observed == (
        "" if is_there else str(model.id)
    )  # with which the executor evaluates it, as in `test_executor`
