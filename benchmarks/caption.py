"""What captioning a test split costs, against the extraction of its features."""

import dataclasses
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from benchmarks.extract import INCEPTION, ROOT, extract
from benchmarks.ingest import data_set, ingest
from benchmarks.measuring import Result, seconds
from components.bleu_evaluator import captioning
from components.feature_extractor.store import FeatureStore
from components.features import Manifest, serialize

PICTURES, ROUNDS = 1000, 3
TRAINED = [  # a model that has seen a few steps: as large as a good one, and as slow, as it says as much
    "data.sample.images=60",
    "trainer.epochs=1",
    "trainer.min_words=10",
    "trainer.max_words=14",
    "evaluator.meteor=false",
]
SIZES = {
    "reference": ["encoder_layers=4", "decoder_layers=4", "d_model=512", "heads=8", "feed_forward=2048"],
    "rsicd": ["encoder_layers=1", "decoder_layers=3", "d_model=256", "heads=8", "feed_forward=1024"],
}


def captioning_over_extraction() -> Iterator[Result]:
    """A thousand pictures from features, as the evaluator captions them, against their extraction by InceptionV3."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        models = {name: trained(place / "root", size) for name, size in SIZES.items()}
        manifest = _many(next((place / "root").glob("artifacts/FeatureExtractor/features/*")), place / "many")
        examples = ingest(data_set(place / "data", PICTURES), fresh=True, outputs=str(place / "all"))
        store = place / "store"
        FeatureStore(str(store / manifest.fingerprint)).prepare_backbone(INCEPTION)
        extracted = seconds(lambda: extract(examples, store))
        for name, model in models.items():
            yield _captioning(name, model, manifest, extracted)


def _captioning(name: str, model: str, manifest: Manifest, extracted: float) -> Result:
    paths = {image_id: "" for pictures in manifest.shards.values() for image_id in pictures}
    found: dict[str, str] = {}

    def caption() -> None:
        found.update(captioning.caption_split(model, manifest, paths))

    loaded = statistics.median(seconds(lambda: tf.saved_model.load(model)) for _ in range(ROUNDS))
    took = statistics.median(seconds(caption) for _ in range(ROUNDS)) - loaded
    words = sum(len(said.split()) for said in found.values()) / len(found)
    detail = (
        f"{PICTURES} pictures {took:.1f} s and {loaded:.1f} s to load the model, {words:.1f} words a caption; "
        f"InceptionV3 on as many JPEGs {extracted:.1f} s; {', '.join(SIZES[name])}"
    )
    return Result(f"caption.{name}_over_extraction", took / extracted, "ratio", detail)


def trained(root: pathlib.Path, size: list[str]) -> str:
    """The SavedModel of a run that ends with the training, by the pipeline itself."""
    settings = [*TRAINED, *(f"trainer.{setting}" for setting in size)]
    command = [sys.executable, "local_runner.py", "run", "--root", str(root), "--to", "Trainer", "--set", *settings]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    models = root.glob("artifacts/Trainer/model/*/Format-Serving")
    return str(max(models, key=lambda path: int(path.parent.name)))


def _many(uri: pathlib.Path, directory: pathlib.Path) -> Manifest:
    """A manifest of a thousand pictures, whose features are those of a few and some noise."""
    known = Manifest.load(str(uri))
    few = np.concatenate([features for _, features in known.read([i for s in known.shards.values() for i in s], 64)])
    rng = np.random.default_rng(0)
    directory.mkdir()
    names = {str(number): str(number) for number in range(PICTURES)}
    with tf.io.TFRecordWriter(str(directory / "shard")) as writer:
        for number in range(PICTURES):
            feature = few[number % len(few)]
            writer.write(serialize(str(number), feature + rng.normal(0, 0.1, feature.shape)))
    return dataclasses.replace(known, directory=str(directory), shards={"shard": names})
