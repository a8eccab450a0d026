import json

import pytest

from components import history, records
from tests.past import Past


@pytest.fixture
def past() -> Past:
    return Past()


def test_the_ancestry_is_all_that_an_artifact_was_made_from(past):
    examples, features, model, other = (past.artifact(name) for name in ("Examples", "Features", "Model", "Model"))
    ingest = past.execute("Ingest", {}, {"examples": examples}, fingerprint="data")
    extractor = past.execute("Extractor", {"examples": examples}, {"features": features})
    past.execute("Trainer", {"features": features}, {"model": other})
    trainer = past.execute("Trainer", {"features": features, "examples": examples}, {"model": model}, commit="0abc")
    past.execute("Ingest", {}, {"examples": examples}, run="r2")  # from the cache
    found = history.ancestry(past.store, [model])
    assert [step["execution"] for step in found] == [ingest, extractor, trainer]
    assert [(step["node"], step["run"]) for step in found] == [("Ingest", "r1"), ("Extractor", "r1"), ("Trainer", "r1")]
    assert found[0]["parameters"] == {"fingerprint": "data"} and found[0]["commit"] is None
    assert found[2]["parameters"] == {} and found[2]["commit"] == "0abc"
    assert found[2]["inputs"]["features"] == [{"id": features, "type": "Features", "uri": "/Features"}]
    assert found[2]["outputs"] == {"model": [{"id": model, "type": "Model", "uri": "/Model"}]}
    assert json.loads(json.dumps(found)) == found


def test_the_nearest_ancestors_are_found_first_and_as_many_as_are_wanted(past):
    models = [past.artifact("Model")]
    for _ in range(5):  # each model begins with the weights of the one before
        data, model = past.artifact("Examples"), past.artifact("Model")
        past.execute("Ingest", {}, {"examples": data})
        past.execute("Trainer", {"examples": data, "base_model": models[-1]}, {"model": model})
        models.append(model)
    found = history.ancestry(past.store, [models[-1]])
    assert [(step["node"], step["distance"]) for step in found[-4:]] == [
        ("Ingest", 2),
        ("Trainer", 1),
        ("Ingest", 1),
        ("Trainer", 0),
    ]
    assert len(found) == 10
    for most in (2, 3):
        assert history.ancestry(past.store, [models[-1]], most) == found[-3:]


def test_what_nothing_made_has_no_ancestry(past):
    assert history.ancestry(past.store, [past.artifact()]) == []


@pytest.mark.parametrize(
    ("find", "type_name"), [(history.evaluation_of, "ModelEvaluation"), (history.report_of, records.Report.TYPE_NAME)]
)
def test_the_latest_about_a_model_that_says_something_counts(past, find, type_name):
    assert find(past.store, 7) is None
    past.artifact(type_name, candidate_id=7, decision="refused")
    second = past.artifact(type_name, candidate_id=7, decision="blessed")
    past.artifact(type_name, candidate_id=8, decision="blessed")
    past.artifact(type_name, candidate_id=7, decision="unchanged")
    assert find(past.store, 7).id == second


def test_a_blessed_model_that_was_measured_once_more_has_a_later_evaluation(past):
    past.artifact("ModelEvaluation", candidate_id=7, decision="blessed", test_set="print")
    again = past.artifact("ModelEvaluation", candidate_id=7, decision="unchanged", test_set="print")
    past.artifact("ModelEvaluation", candidate_id=7, decision="unchanged")
    assert history.evaluation_of(past.store, 7).id == again
