"""A report's material, made up: pictures in stripes, captions of all kinds, hostile ones among them."""

import base64

import numpy as np
from PIL import Image

from components.report.attention import of_caption
from components.report.curves import charts
from components.report.page import Material
from tests.material import encode

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>'
GRID = (4, 4)


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def figures(value: float) -> dict[str, dict[str, float]]:
    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "length", "vocabulary", "distinct", "copied")
    return {name: figure(value) for name in names}


def picture(number: int) -> dict:
    """The first has the worst caption, the last the best; the fourth is hostile."""
    said = HOSTILE if number == 3 else f"a dog number{number} runs"
    scores = {"bleu_4": number / 100, "cider": number / 10, "rouge_l": 0.5}
    baseline = {"caption": "a cat sleeps", "bleu_4": 0.5 - number / 100, "cider": 1.0, "rouge_l": 0.5}
    attention = {"caption": f"two dogs of attention {number}", "bleu_4": 0.25, "cider": 0.9, "rouge_l": 0.4}
    return {
        "image_id": f"picture_{number:03}.jpg",
        "image_uri": f"pictures/picture_{number:03}.jpg",
        "references": [f"a dog runs in field {number}", HOSTILE],
        "models": {"candidate": {"caption": said, **scores}, "attention": attention, "baseline": baseline},
    }


def jpeg(number: int) -> bytes:
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[:, :: number % 7 + 2] = (20 + number % 200, 120, 200)
    return encode(Image.fromarray(stripes))


def material(pictures: int = 100, with_maps: bool = True) -> Material:
    made = [picture(number) for number in range(pictures)]
    rng = np.random.default_rng(0)
    maps = {
        one["image_id"]: of_caption(one["models"]["candidate"]["caption"], rng.random((40, *GRID)))
        for one in made
        if with_maps
    }
    rules = [
        {"rule": "min_bleu_4", "value": 0.4, "wanted": 0.3, "met": True, "text": "bleu_4 0.4000, at least 0.3 wanted"},
        {"rule": "max_p", "value": 0.2, "wanted": 0.05, "met": False, "text": "p 0.2000 that the gain is chance"},
    ]
    evaluation = {
        "decision": "refused",
        "reasons": [f"{'met' if rule['met'] else 'missed'}: {rule['text']}" for rule in rules],
        "rules": rules,
        "notes": [f"note {HOSTILE}"],
        "baseline": "/model/3",
        "candidate": "/a/long/path/to/a/directory/of/artifacts/Trainer/model/7/Format-Serving",
        "model_name": "transformer",
        "pictures": pictures,
        "test_set": "0123456789abcdef",
        "metrics": {"bleu_4": 0.4},
        "models": {"candidate": figures(0.4), "attention": figures(0.3), "baseline": figures(0.35)},
        "gains": {
            "attention": {name: figure(0.1) | {"p": 0.01} for name in ("bleu_4", "cider", "length")},
            "baseline": {name: figure(0.05) | {"p": 0.2} for name in ("bleu_4", "cider", "length")},
        },
        "slices": [
            {"field": "caption_length", "value": "9", "pictures": 4, "models": {"candidate": figures(0.3)}},
        ],
    }
    lineage = [
        {
            "execution": 8,
            "node": "Trainer",
            "run": "20261123-113221",
            "started": 1795433707.0,
            "seconds": 116.2,
            "commit": "0123abc",
            "parameters": {"epochs": 3, "source": "feed", "custom_config": '{"d_model": 128}', "other": HOSTILE},
            "inputs": {"features": [{"id": 6, "type": "captions.Features", "uri": "/captions/features/6"}]},
            "outputs": {"model": [{"id": 9, "type": "Model", "uri": "/captions/model/8"}]},
        }
    ]
    curve = {
        "epoch_loss": {
            "transformer train": [(0, 3.0), (1, 2.0), (2, 1.5)],
            "transformer validation": [(0, 2.5), (1, 2.4), (2, 2.6)],
            "attention train": [(0, 3.5), (1, 2.5), (2, 2.0)],
            "attention validation": [(0, 2.9), (1, 2.8), (2, 2.7)],
        }
    }
    return Material(
        evaluation,
        made,
        {one["image_id"]: jpeg(number) for number, one in enumerate(made) if number != 5},
        maps,
        GRID,
        charts(curve),
        {"images": {"train": 400, "eval": 50, "test": pictures}, "captions": 2500},
        [{"image_id": HOSTILE, "line": "captions.txt:3", "reason": "bad_line", "detail": "no tab"}],
        lineage,
    )


def decoded(weights: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(weights), np.uint8)
