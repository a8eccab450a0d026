import json

import pytest

from components.shared.mlmd.ancestry import ancestry
from tests.fake_mlmd import FakeMlmd


@pytest.fixture
def fake_mlmd() -> FakeMlmd:
    return FakeMlmd()


def test_the_ancestry_is_everything_that_an_artifact_was_made_from(fake_mlmd):
    types = ("Examples", "Features", "Model", "Model")
    examples, features, model, other = (fake_mlmd.artifact(name) for name in types)
    ingest = fake_mlmd.execute("Ingest", {}, {"examples": examples}, fingerprint="data")
    extractor = fake_mlmd.execute("Extractor", {"examples": examples}, {"features": features})
    fake_mlmd.execute("Trainer", {"features": features}, {"model": other})
    inputs = {"features": features, "examples": examples}
    trainer = fake_mlmd.execute("Trainer", inputs, {"model": model}, commit="0abc", epochs=3)
    fake_mlmd.execute("Ingest", {}, {"examples": examples}, run="r2")  # from the cache
    steps = ancestry(fake_mlmd.store, [model])
    assert [step["execution"] for step in steps] == [ingest, extractor, trainer]
    assert [(step["node"], step["run"]) for step in steps] == [("Ingest", "r1"), ("Extractor", "r1"), ("Trainer", "r1")]
    assert steps[0]["parameters"] == {"fingerprint": "data"} and steps[0]["commit"] is None
    assert steps[2]["parameters"] == {"epochs": 3} and steps[2]["commit"] == "0abc"
    assert steps[2]["inputs"]["features"] == [{"id": features, "type": "Features", "uri": "/Features"}]
    assert steps[2]["outputs"] == {"model": [{"id": model, "type": "Model", "uri": "/Model"}]}
    assert json.loads(json.dumps(steps)) == steps


def test_the_nearest_ancestors_come_first_and_no_more_than_asked_for(fake_mlmd):
    models = [fake_mlmd.artifact("Model")]
    for _ in range(5):  # each model starts from the weights of the previous one
        data, model = fake_mlmd.artifact("Examples"), fake_mlmd.artifact("Model")
        fake_mlmd.execute("Ingest", {}, {"examples": data})
        fake_mlmd.execute("Trainer", {"examples": data, "base_model": models[-1]}, {"model": model})
        models.append(model)
    steps = ancestry(fake_mlmd.store, [models[-1]])
    nearest = [("Ingest", 2), ("Trainer", 1), ("Ingest", 1), ("Trainer", 0)]
    assert [(step["node"], step["distance"]) for step in steps[-4:]] == nearest
    assert len(steps) == 10
    for max_steps in (2, 3):
        assert ancestry(fake_mlmd.store, [models[-1]], max_steps) == steps[-3:]


def test_an_artifact_without_a_producer_has_no_ancestry(fake_mlmd):
    assert ancestry(fake_mlmd.store, [fake_mlmd.artifact()]) == []
