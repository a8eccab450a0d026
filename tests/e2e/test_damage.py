"""The next run after files below a finished root are empty, cut or zeros, as a power cut or a failing disk leaves them.

Each kind of file has a fast test of its own with each kind of damage; here several are damaged at once.
"""

import pathlib

from components.shared import artifact_types, records
from pipeline import sample_data
from pipeline.database import open_metadata
from tests.e2e.sandbox import Sandbox, done, states

# what a run that trains nothing looks at
OF_THE_MODEL = {
    "artifacts/Exporter/model/*/Format-Serving/saved_model.pb": "zeros",
    "artifacts/BleuEvaluator/evaluation/*/evaluation.json": "empty",
    "artifacts/Pusher/pushed_model/*/saved_model.pb": "cut",
    "artifacts/Report/report/*/*.html": "zeros",
    "store/features/*/backbone.json": "cut",
    "summary.json": "empty",
    "serving/*/saved_model.pb": "empty",
}
# what has the features computed and the model trained again
OF_THE_DATA = {
    "artifacts/CaptionIngest/examples/*/Split-train/*": "zeros",
    "store/features/*/shard-*.json": "cut",
    "store/features/*/generation": "empty",
    "store/features/*/backbone-*/saved_model.pb": "zeros",
    "store/checkpoints/*/state.npz": "cut",
}


def damage(root: pathlib.Path, pattern: str, kind: str) -> pathlib.Path:
    """Damages the first file that a pattern matches."""
    path = next(path for path in sorted(root.glob(pattern)) if not path.name.startswith("."))
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content))}[kind])
    return path


def assert_serves(sandbox: Sandbox) -> None:
    image = str(sandbox.data / sample_data.IMAGES / sample_data.name(7, 0))
    run = sandbox.execute([*sandbox.command("caption")[:3], "--model", str(sandbox.serving), image])
    assert run.returncode == 0 and run.stdout.startswith(image), run.stderr


def test_a_damaged_model_is_exported_evaluated_pushed_and_reported_again(sandbox, first):
    damaged = [damage(sandbox.root, pattern, kind) for pattern, kind in OF_THE_MODEL.items()]
    summary = sandbox.run()
    assert states(summary) == done("Exporter", "BleuEvaluator", "Pusher", "Report")
    assert f"warning: {damaged[0]} is damaged" in summary["out"].replace("\n", "")
    assert summary["decision"] == "blessed" and summary["metrics"] == first["metrics"]
    assert len(sandbox.versions()) == 2
    assert_serves(sandbox)


def test_damaged_data_features_and_checkpoints_are_made_again(sandbox, first):
    with open_metadata(sandbox.paths.metadata_uri) as handle:
        [weights] = handle.store.get_artifacts_by_type(artifact_types.Weights.TYPE_NAME)
    checkpoints = pathlib.Path(weights.custom_properties[records.CHECKPOINT_DIR].string_value)
    checkpoints.mkdir()
    (checkpoints / "state.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    for pattern, kind in OF_THE_DATA.items():
        damage(sandbox.root, pattern, kind)
    summary = sandbox.run()
    assert [states(summary)[step] for step in ("CaptionIngest", "FeatureExtractor", "Trainer")] == ["done"] * 3
    assert "state.npz is damaged or gone: this training starts anew" in summary["out"].replace("\n", "")
    assert not checkpoints.exists()
    assert summary["metrics"] == first["metrics"]
    assert_serves(sandbox)
