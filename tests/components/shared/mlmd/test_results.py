import pytest

from components.shared import artifact_types
from components.shared.contents import describe
from components.shared.mlmd.results import evaluation_of, report_of
from tests.fake_mlmd import FakeMlmd


@pytest.fixture
def fake_mlmd() -> FakeMlmd:
    return FakeMlmd()


@pytest.mark.parametrize(
    ("find", "type_name"), [(evaluation_of, "ModelEvaluation"), (report_of, artifact_types.Report.TYPE_NAME)]
)
def test_the_latest_artifact_about_a_model_that_has_results_counts(fake_mlmd, find, type_name):
    assert find(fake_mlmd.store, 7) is None
    fake_mlmd.artifact(type_name, candidate_id=7, decision="rejected")
    second = fake_mlmd.artifact(type_name, candidate_id=7, decision="blessed")
    fake_mlmd.artifact(type_name, candidate_id=8, decision="blessed")
    fake_mlmd.artifact(type_name, candidate_id=7, decision="unchanged")
    assert find(fake_mlmd.store, 7).id == second


def test_a_damaged_evaluation_does_not_count(fake_mlmd, tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    first = fake_mlmd.artifact("ModelEvaluation", candidate_id=7, decision="blessed")
    second = fake_mlmd.artifact(
        "ModelEvaluation", str(tmp_path), candidate_id=7, decision="blessed", files=describe(str(tmp_path))
    )
    assert evaluation_of(fake_mlmd.store, 7).id == second
    (tmp_path / "evaluation.json").write_bytes(bytes(2))
    assert evaluation_of(fake_mlmd.store, 7).id == first


def test_a_blessed_model_that_was_evaluated_again_has_a_later_evaluation(fake_mlmd):
    fake_mlmd.artifact("ModelEvaluation", candidate_id=7, decision="blessed", test_set="print")
    again = fake_mlmd.artifact("ModelEvaluation", candidate_id=7, decision="unchanged", test_set="print")
    fake_mlmd.artifact("ModelEvaluation", candidate_id=7, decision="unchanged")
    assert evaluation_of(fake_mlmd.store, 7).id == again
