"""Captioning a test split, compared with the extraction of its features."""

import dataclasses
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from benchmarks.extract import INCEPTION, extract
from benchmarks.ingest import data_set, ingest
from benchmarks.measuring import ROOT, Result, seconds
from components.bleu_evaluator import captioning
from components.feature_extractor.store import FeatureStore
from components.shared.features import Manifest
from components.shared.images.ingested import IngestedImage
from components.shared.shard_format import write_shard

NUM_IMAGES, ROUNDS = 1000, 3
TRAINED = [  # a few steps of training: captions of the usual length take as long as those of a good model
    "data.sample.num_images=60",
    "trainer.epochs=1",
    "decoding.min_length=10",
    "decoding.max_length=14",
]
SIZES = {
    "reference": ["num_encoder_layers=4", "num_decoder_layers=4", "d_model=512", "num_heads=8", "ffn_dim=2048"],
    "rsicd": ["num_encoder_layers=1", "num_decoder_layers=3", "d_model=256", "num_heads=8", "ffn_dim=1024"],
}


def captioning_over_extraction() -> Iterator[Result]:
    """Captions a thousand images from features, as the evaluator does, and extracts their features by InceptionV3."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        models = {name: trained(root / "run", size) for name, size in SIZES.items()}
        manifest = _many(next((root / "run").glob("artifacts/FeatureExtractor/features/*")), root / "many")
        examples = ingest(data_set(root / "data", NUM_IMAGES), outputs=str(root / "all"))
        store = root / "store"
        FeatureStore(str(store / manifest.fingerprint)).prepare_backbone(INCEPTION)
        extracted = seconds(lambda: extract(examples, store))
        for name, model in models.items():
            yield _captioning(name, model, manifest, extracted)


def _captioning(name: str, model: str, manifest: Manifest, extracted: float) -> Result:
    shards = manifest.shards.values()
    images = {image_id: IngestedImage("", sha256) for shard in shards for image_id, sha256 in shard.items()}
    captions: dict[str, str] = {}

    def caption() -> None:
        captions.update(captioning.caption_split(model, manifest, images))

    load_time = statistics.median(seconds(lambda: tf.saved_model.load(model)) for _ in range(ROUNDS))
    caption_time = statistics.median(seconds(caption) for _ in range(ROUNDS)) - load_time
    length = sum(len(text.split()) for text in captions.values()) / len(captions)
    detail = (
        f"{NUM_IMAGES} images {caption_time:.1f} s, model loaded in {load_time:.1f} s, {length:.1f} words per caption; "
        f"InceptionV3 on as many JPEGs {extracted:.1f} s; {', '.join(SIZES[name])}"
    )
    return Result(f"caption.{name}_over_extraction", caption_time / extracted, "ratio", detail)


def trained(root: pathlib.Path, size: list[str]) -> str:
    """Runs the pipeline up to the export; returns the SavedModel's directory."""
    settings = [*TRAINED, *(f"trainer.model.{setting}" for setting in size)]
    command = [sys.executable, "local_runner.py", "run", "--root", str(root), "--to", "Exporter", "--set", *settings]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    models = root.glob("artifacts/Exporter/model/*/Format-Serving")
    return str(max(models, key=lambda path: int(path.parent.name)))


def _many(uri: pathlib.Path, directory: pathlib.Path) -> Manifest:
    """Writes features of a thousand images, those of a few with some noise, and returns their manifest."""
    manifest = Manifest.load(str(uri))
    image_ids = [image_id for images in manifest.shards.values() for image_id in images]
    few = np.concatenate([features for _, features in manifest.read(image_ids, 64)])
    rng = np.random.default_rng(0)
    names = {f"{number:06}": f"{number:06}" for number in range(NUM_IMAGES)}  # of equal length, as hashes are
    noisy = (few[number % len(few)] + rng.normal(0, 0.1, few[0].shape) for number in range(NUM_IMAGES))
    shard = write_shard(str(directory), list(names), noisy)
    return dataclasses.replace(manifest, directory=str(directory), shards={shard: names})
