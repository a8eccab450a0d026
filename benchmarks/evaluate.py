"""What the figures of a thousand pictures cost, and the report about them."""

import contextlib
import dataclasses
import io
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.measuring import Result, seconds
from components import scenes
from components.bleu_evaluator import meteor
from components.bleu_evaluator.evaluation import BASELINE, CANDIDATE, Evaluation, Settings
from components.bleu_evaluator.test_set import TestSet
from components.report import page, thumbnails
from components.report.attention import of_caption
from components.report.executor import MOST_PICTURES, PICTURE_BYTES

PICTURES, REFERENCES, WORDS, VOCABULARY = 1000, 5, 11, 2000
GRID = (8, 8)
SETTINGS = Settings(min_bleu_4=0.0, min_gain=0.0, max_p=0.05, meteor=False)


def metrics() -> Iterator[Result]:
    """Candidate and baseline on a thousand pictures: all figures with their intervals, the comparison, the slices."""
    captions, test_set = _captions(), _test_set()
    took = seconds(lambda: _evaluate(test_set, captions, SETTINGS))
    detail = f"two models on {PICTURES} pictures with {REFERENCES} references, 1,000 test sets drawn, slices by length"
    yield Result("evaluate.metrics_1000", took, "s", f"{detail}; without METEOR")
    with contextlib.suppress(meteor.Unavailable):
        meteor.Program()
        took = seconds(lambda: _evaluate(test_set, captions, dataclasses.replace(SETTINGS, meteor=True)))
        yield Result("evaluate.metrics_meteor_1000", took, "s", f"{detail}; with METEOR, Java's start included")
    yield from _report(test_set, captions)


def _evaluate(test_set: TestSet, captions: dict[str, list[str]], settings: Settings) -> Evaluation:
    evaluation = Evaluation(test_set, frozenset(captions[BASELINE]), settings)
    for name, said in captions.items():
        evaluation.add(name, dict(zip(test_set.image_ids, said, strict=True)))
    evaluation.gains(CANDIDATE, BASELINE)
    evaluation.figures()
    evaluation.slices()
    return evaluation


def _report(test_set: TestSet, captions: dict[str, list[str]]) -> Iterator[Result]:
    """The report about them, with noisy photographs for thumbnails and an attention map a word."""
    evaluation = _evaluate(test_set, captions, SETTINGS)
    figures = evaluation.figures()
    result = {
        "decision": "blessed", "rules": [], "reasons": [], "notes": [], "baseline": "model", "candidate": "model",
        "pictures": PICTURES, "test_set": test_set.fingerprint, "models": figures,
        "metrics": {"bleu_4": figures[CANDIDATE]["bleu_4"]["value"]},
        "gains": {BASELINE: evaluation.gains(CANDIDATE, BASELINE)}, "slices": evaluation.slices(),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    weights = rng.random((WORDS, GRID[0] * GRID[1]))
    maps = {row: of_caption(said, weights) for row, said in zip(test_set.image_ids, captions[CANDIDATE], strict=True)}
    with tempfile.TemporaryDirectory() as directory:
        paths = _photographs(pathlib.Path(directory))
        written: list[str] = []

        def write() -> None:
            small = {}
            for row, image_id in enumerate(test_set.image_ids):
                small[image_id] = thumbnails.thumbnail(paths[row % len(paths)], PICTURE_BYTES // MOST_PICTURES) or b""
            counts = {"images": {"test": PICTURES}, "captions": PICTURES * REFERENCES}
            material = page.Material(result, evaluation.pictures(), small, maps, GRID, [], counts, [], [])
            written.append(page.render(material))

        took = seconds(write)
    detail = f"{PICTURES} pictures of 500x375 with noise, a map of {GRID[0]}x{GRID[1]} for each of {WORDS} words"
    yield Result("report.size_1000", len(written[-1].encode()) / 1e6, "MB", detail)
    yield Result("report.seconds_1000", took, "s", detail)


def _photographs(directory: pathlib.Path) -> list[str]:
    """Scenes with the noise of photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(20):
        plain = np.asarray(scenes.draw(0, index).resize((500, 375)), np.float32)
        buffer = io.BytesIO()
        noisy = np.clip(plain + rng.normal(0, 20, plain.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=95)
        paths.append(str(directory / f"{index}.jpg"))
        pathlib.Path(paths[-1]).write_bytes(buffer.getvalue())
    return paths


def _captions() -> dict[str, list[str]]:
    rng = np.random.default_rng(1)
    return {name: [_sentence(rng) for _ in range(PICTURES)] for name in (CANDIDATE, BASELINE)}


def _test_set() -> TestSet:
    rng = np.random.default_rng(2)
    names = [f"{number:06}.jpg" for number in range(PICTURES)]
    references = [[_sentence(rng) for _ in range(REFERENCES)] for _ in names]
    return TestSet(names, names, references, [{"image_uri": [name], "sha256": [name]} for name in names])


def _sentence(rng: np.random.Generator) -> str:
    """Words as frequent as in a language: Zipf's law."""
    ranks = np.minimum(rng.zipf(1.3, rng.integers(WORDS - 4, WORDS + 5)), VOCABULARY)
    return " ".join(_word(int(rank)) for rank in ranks)


def _word(rank: int) -> str:
    letters = "etaoinshrdlu"
    word = letters[rank % 12]
    while rank := rank // 12:
        word += letters[rank % 12]
    return word
