"""Made-up data of a report: striped images, and captions of all kinds, hostile ones among them."""

import base64

import numpy as np
from PIL import Image

from components.report.attention import from_weights
from components.report.curves import charts
from components.report.page import ReportData
from tests.factories import encode

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>'
GRID = (4, 4)
LABELS = {"bleu_1": "BLEU-1", "bleu_4": "BLEU-4", "cider": "CIDEr", "rouge_l": "ROUGE-L"}
METRICS_INFO = {name: {"label": label, "higher_is_better": True, "decimals": 3} for name, label in LABELS.items()} | {
    "mean_length": {"label": "mean caption length", "higher_is_better": None, "decimals": 3},
    "unique_words": {"label": "unique words", "higher_is_better": None, "decimals": 0},
}


def metric(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def metrics(value: float) -> dict[str, dict[str, float]]:
    return {name: metric(value) for name in METRICS_INFO}


def improvements(value: float, p: float) -> dict[str, dict[str, float]]:
    return {name: metric(value) | {"p": p} for name in ("bleu_4", "cider")} | {"mean_length": metric(value)}


def image(number: int) -> dict:
    """The first image has the worst caption, the last one the best; the fourth one's is hostile."""
    caption = HOSTILE if number == 3 else f"a dog number{number} runs"
    candidate = {"caption": caption, "bleu_4": number / 100, "cider": number / 10, "rouge_l": 0.5}
    gru = {"caption": f"two dogs of gru {number}", "bleu_4": 0.25, "cider": 0.9, "rouge_l": 0.4}
    baseline = {"caption": "a cat sleeps", "bleu_4": 0.5 - number / 100, "cider": 1.0, "rouge_l": 0.5}
    return {
        "image_id": f"image_{number:03}.jpg",
        "image_uri": f"images/image_{number:03}.jpg",
        "references": [f"a dog runs in field {number}", HOSTILE],
        "models": {"candidate": candidate, "gru": gru, "baseline": baseline},
    }


def jpeg(number: int) -> bytes:
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[:, :: number % 7 + 2] = (20 + number % 200, 120, 200)
    return encode(Image.fromarray(stripes))


def rule(name: str, value: float, threshold: float, passed: bool, text: str) -> dict:
    return {"rule": name, "value": value, "threshold": threshold, "passed": passed, "text": text}


def evaluation(num_images: int) -> dict:
    rules = [
        rule("min_bleu_4", 0.4, 0.3, True, "BLEU-4 0.400 (minimum 0.300)"),
        rule("max_p_value", 0.2, 0.05, False, "p-value 0.2000"),
    ]
    return {
        "decision": "rejected",
        "reasons": ["passed: BLEU-4 0.400 (minimum 0.300)", "failed: p-value 0.2000"],
        "rules": rules,
        "notes": [f"note {HOSTILE}"],
        "baseline": "/model/3",
        "candidate": "/a/long/path/to/a/directory/of/artifacts/Exporter/model/7/Format-Serving",
        "model_label": "transformer",
        "num_images": num_images,
        "test_set": "0123456789abcdef",
        "metrics": {"bleu_4": 0.4},
        "metrics_info": METRICS_INFO,
        "models": {"candidate": metrics(0.4), "gru": metrics(0.3), "baseline": metrics(0.35)},
        "improvements": {"gru": improvements(0.1, 0.01), "baseline": improvements(0.05, 0.2)},
        "slices": [
            {"field": "caption_length", "value": "9", "num_images": 4, "models": {"candidate": metrics(0.3)}},
        ],
    }


def step(execution: int, node: str, inputs: dict[str, dict], outputs: dict[str, dict]) -> dict:
    return {
        "execution": execution,
        "node": node,
        "run": "20261123-113221",
        "started": 1795433707.0,
        "seconds": 116.2,
        "commit": "0123abc",
        "parameters": {"epochs": 3, "code": "feed", "settings": '{"d_model": 128}', "other": HOSTILE},
        "inputs": {key: [artifact] for key, artifact in inputs.items()},
        "outputs": {key: [artifact] for key, artifact in outputs.items()},
    }


def report_data(num_images: int = 100, with_maps: bool = True) -> ReportData:
    images = [image(number) for number in range(num_images)]
    rng = np.random.default_rng(0)
    maps = {
        each["image_id"]: from_weights(each["models"]["candidate"]["caption"].split(), rng.random((40, *GRID)))
        for each in images
        if with_maps
    }
    features = {"id": 6, "type": "captions.Features", "uri": "/captions/features/6"}
    weights = {"id": 9, "type": "captions.Weights", "uri": "/captions/weights/8"}
    curves = {
        "epoch_loss": {
            "transformer train": [(0, 3.0), (1, 2.0), (2, 1.5)],
            "transformer validation": [(0, 2.5), (1, 2.4), (2, 2.6)],
            "gru train": [(0, 3.5), (1, 2.5), (2, 2.0)],
            "gru validation": [(0, 2.9), (1, 2.8), (2, 2.7)],
        }
    }
    return ReportData(
        evaluation=evaluation(num_images),
        images=images,
        thumbnails={each["image_id"]: jpeg(number) for number, each in enumerate(images) if number != 5},
        maps=maps,
        grid=GRID,
        charts=charts(curves),
        counts={"images": {"train": 400, "eval": 50, "test": num_images}, "captions": 2500},
        rejects=[{"image_id": HOSTILE, "source": "captions.txt", "line": 3, "reason": "bad_line", "detail": "no tab"}],
        lineage=[step(8, "Trainer", {"features": features}, {"weights": weights})],
    )


def decode_weights(weights: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(weights), np.uint8)
