"""The cost of the metrics of a thousand images, and of the report about them."""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np

from benchmarks.measuring import HEIGHT, WIDTH, Result, noisy_jpegs, seconds
from components.bleu_evaluator import meteor, ptb
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.measurement import tokenized
from components.bleu_evaluator.metrics import MetricUnavailable
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.test_set import TestSet
from components.report import page, thumbnails
from components.report.attention import from_weights
from components.report.executor import MAX_IMAGES, THUMBNAIL_BYTES
from components.shared.evaluations import BASELINE, CANDIDATE
from components.shared.images import reading
from components.shared.words import Tokenization

NUM_IMAGES, NUM_REFERENCES, NUM_WORDS, VOCABULARY_SIZE = 1000, 5, 11, 2000
GRID = (8, 8)
SETTINGS = BleuEvaluatorSettings(max_p_value=0.05, meteor=False, ptb=False)


def metrics() -> Iterator[Result]:
    """Candidate and baseline on a thousand images: metrics with their intervals, comparison, slices."""
    captions, test_set = _captions(), _test_set()
    took = seconds(lambda: _evaluate(test_set, captions, SETTINGS))
    detail = (
        f"two models on {NUM_IMAGES} images with {NUM_REFERENCES} references, {SETTINGS.num_bootstrap_samples:,} "
        f"resamples, slices by {', '.join(SETTINGS.slices)}"
    )
    yield Result("evaluate.metrics_1000", took, "s", f"{detail}; without METEOR")
    if shutil.which("java"):
        sentences = [sentence for sentences in test_set.references for sentence in sentences]
        took = seconds(lambda: ptb.Process(sentences).sentences())
        yield Result("evaluate.ptb_5000", took, "s", f"{len(sentences)} sentences split by COCO's PTB tokenizer")
        took = seconds(lambda: _evaluate(test_set, captions, dataclasses.replace(SETTINGS, ptb=True)))
        yield Result("evaluate.metrics_ptb_1000", took, "s", f"{detail}; by both tokenizers, without METEOR")
    with contextlib.suppress(MetricUnavailable):
        meteor.Program()
        took = seconds(lambda: _evaluate(test_set, captions, dataclasses.replace(SETTINGS, meteor=True)))
        yield Result("evaluate.metrics_meteor_1000", took, "s", f"{detail}; with METEOR, including Java's start")
    yield from _report(test_set, captions)


def _evaluate(test_set: TestSet, captions: dict[str, list[str]], settings: BleuEvaluatorSettings) -> Evaluation:
    evaluation = Evaluation(test_set, tokenized(captions[BASELINE], Tokenization()), settings, Tokenization())
    for name, predictions in captions.items():
        evaluation.add(name, dict(zip(test_set.image_ids, predictions, strict=True)))
    evaluation.improvements(CANDIDATE, BASELINE)
    evaluation.metrics()
    evaluation.slices()
    return evaluation


def _report(test_set: TestSet, captions: dict[str, list[str]]) -> Iterator[Result]:
    """The report about them, with noisy images for thumbnails and an attention map per word."""
    evaluation = _evaluate(test_set, captions, SETTINGS)
    models = evaluation.metrics()
    result = {
        "decision": "blessed", "rules": [], "reasons": [], "notes": [], "baseline": "model", "candidate": "model",
        "num_images": NUM_IMAGES, "test_set": test_set.fingerprint, "models": models,
        "metrics_info": evaluation.metrics_info(), "metrics": {"bleu_4": models[CANDIDATE]["bleu_4"]["value"]},
        "improvements": {BASELINE: evaluation.improvements(CANDIDATE, BASELINE)}, "slices": evaluation.slices(),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    weights = rng.random((NUM_WORDS, GRID[0] * GRID[1]))
    predictions = zip(test_set.image_ids, captions[CANDIDATE], strict=True)
    maps = {image_id: from_weights(prediction.split(), weights) for image_id, prediction in predictions}
    with tempfile.TemporaryDirectory() as directory:
        paths = _noisy_images(pathlib.Path(directory))
        written: list[str] = []

        def write() -> None:
            small = {}
            files = reading.read_many([paths[row % len(paths)] for row in range(len(test_set.image_ids))])
            for image_id, file in zip(test_set.image_ids, files, strict=True):
                small[image_id] = thumbnails.thumbnail(file, THUMBNAIL_BYTES // MAX_IMAGES) or b""
            counts = {"images": {"test": NUM_IMAGES}, "captions": NUM_IMAGES * NUM_REFERENCES}
            report = page.ReportData(result, evaluation.images(), small, maps, GRID, [], counts, [], [])
            written.append(page.render(report))

        took = seconds(write)
    detail = (
        f"{NUM_IMAGES} noisy images of {WIDTH}x{HEIGHT}, an attention map of {GRID[0]}x{GRID[1]} for each of "
        f"{NUM_WORDS} words"
    )
    yield Result("report.size_1000", len(written[-1].encode()) / 1e6, "MB", detail)
    yield Result("report.seconds_1000", took, "s", detail)


def _noisy_images(directory: pathlib.Path) -> list[str]:
    """Images of Flickr8k's size."""
    paths = []
    for index, jpeg in enumerate(noisy_jpegs(20)):
        paths.append(str(directory / f"{index}.jpg"))
        pathlib.Path(paths[-1]).write_bytes(jpeg)
    return paths


def _captions() -> dict[str, list[str]]:
    rng = np.random.default_rng(1)
    return {name: [_sentence(rng) for _ in range(NUM_IMAGES)] for name in (CANDIDATE, BASELINE)}


def _test_set() -> TestSet:
    rng = np.random.default_rng(2)
    names = [f"{number:06}.jpg" for number in range(NUM_IMAGES)]
    references = [[_sentence(rng) for _ in range(NUM_REFERENCES)] for _ in names]
    return TestSet(names, names, references, [{"image_uri": [name], "sha256": [name]} for name in names])


def _sentence(rng: np.random.Generator) -> str:
    """A sentence with word frequencies as in a natural language (Zipf's law)."""
    ranks = np.minimum(rng.zipf(1.3, rng.integers(NUM_WORDS - 4, NUM_WORDS + 5)), VOCABULARY_SIZE)
    return " ".join(_word(int(rank)) for rank in ranks)


def _word(rank: int) -> str:
    letters = "etaoinshrdlu"
    word = letters[rank % 12]
    while rank := rank // 12:
        word += letters[rank % 12]
    return word
