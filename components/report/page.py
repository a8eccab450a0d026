"""Puts the report together: one HTML file that needs nothing else."""

import base64
import dataclasses
import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from components.report.attention import AttentionMaps
from components.report.curves import BOTTOM, HEIGHT, LEFT, MARGIN, WIDTH, Chart
from components.shared.evaluations import (
    BASELINE,
    CANDIDATE,
    VARIANT_OF,
    format_difference,
    primary_metric,
    quality_metrics,
)

_FOLDER = pathlib.Path(__file__).parent
# read with the code, whose identity contains them
FILES = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.js", "report.css")}
MAX_EXAMPLES = 3  # of rejects, per reason
MAX_STEPS = 100  # of the lineage: with retraining every night from the model before, it has no end


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything that the report shows.

    Attributes:
      evaluation: the evaluation, of `evaluations.read_evaluation`.
      images: the test images in the gallery, of `evaluations.read_images`.
      thumbnails: image ID -> JPEG; images that are gone or cannot be read are missing.
      maps: image ID -> attention maps of the candidate; empty where it has none, incomplete where they are too large.
      grid: number of rows and columns of the maps.
      charts: the learning curves.
      counts: {"images": {split: n}, "captions": n}.
      rejects: [{image_id, source, line, reason, detail}].
      lineage: the steps that led to the evaluation, of `components.shared.mlmd.ancestry`.
      unread: the images that are there and could not be read, perhaps only for a moment.
    """

    evaluation: Mapping[str, Any]
    images: Sequence[Mapping[str, Any]]
    thumbnails: Mapping[str, bytes]
    maps: Mapping[str, AttentionMaps]
    grid: tuple[int, int]
    charts: Sequence[Chart]
    counts: Mapping[str, Any]
    rejects: Sequence[Mapping[str, Any]]
    lineage: Sequence[Mapping[str, Any]]
    unread: Sequence[str] = ()


def render(report: ReportData) -> str:
    """Renders the file. Everything that comes from data is escaped, and no script but the page's own runs.

    Args:
      report: what the page shows.

    Returns:
      the HTML, in Unicode that can be written as UTF-8.
    """
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(FILES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}  # the candidate comes first
    environment.filters |= {
        "number": _number,
        "difference": format_difference,
        "interval": _interval,
        "time": _time,
        "pretty": _pretty,
    }
    script = FILES["report.js"]
    evaluation = report.evaluation
    models_of_steps = _models_of_steps(report.lineage, evaluation)
    html = environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        models={name: _title(name, evaluation) for name in evaluation["models"]},
        metrics=evaluation["metrics_info"],
        quality_metrics=quality_metrics(evaluation),
        has_ptb=any(VARIANT_OF in info for info in evaluation["metrics_info"].values()),
        primary=primary_metric(evaluation),
        num_maps=len(report.maps),
        charts=report.charts,
        layout={"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM, "margin": MARGIN},
        counts=report.counts,
        rejects=_by_reason(report.rejects),
        lineage=[{**step, "models": models_of_steps.get(step["execution"], [])} for step in report.lineage],
        lineage_is_truncated=len(report.lineage) >= MAX_STEPS,
        run=report.lineage[-1]["run"] if report.lineage else "",
        data=_gallery(report),
        num_shown=len(report.images),
        num_unread=len(report.unread),
        style=markupsafe.Markup(FILES["report.css"]),
        script=markupsafe.Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html.encode(errors="replace").decode()  # file names need not be UTF-8


def _gallery(report: ReportData) -> dict[str, Any]:
    """The data of the page's script: see `report.js`."""
    rows = []
    for image in report.images:
        image_id = image["image_id"]
        row = {"id": image_id, "references": image["references"], "models": image["models"]}
        if image_id in report.thumbnails:
            row["jpeg"] = base64.b64encode(report.thumbnails[image_id]).decode()
        if image_id in report.maps:
            row |= {"words": report.maps[image_id].words, "weights": report.maps[image_id].weights}
        rows.append(row)
    info = report.evaluation["metrics_info"]
    scored = report.images[0]["models"][CANDIDATE] if report.images else {}
    scores = {name: info[name]["label"] for name in scored if name in info}
    decimals = {name: info[name]["decimals"] for name in scores}
    return {
        "grid": list(report.grid),
        "primary": primary_metric(report.evaluation),
        "scores": scores,
        "decimals": decimals,
        "images": rows,
    }


def _by_reason(rejects: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, list[Mapping[str, Any]]]]:
    """[(reason, number of rejects, some of them)], the most frequent first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for reject in rejects:
        groups.setdefault(str(reject["reason"]), []).append(reject)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [(reason, len(group), group[:MAX_EXAMPLES]) for reason, group in ordered]


def _models_of_steps(lineage: Sequence[Mapping[str, Any]], evaluation: Mapping[str, Any]) -> dict[int, list[str]]:
    """Execution -> which models it has trained or exported, since the baseline has a training and an export, too."""
    models: dict[int, list[str]] = {}
    for name in (CANDIDATE, BASELINE):
        model_dir = evaluation.get(name) or ""
        exports = [step for step in lineage if any(model_dir.startswith(f"{a['uri']}/") for a in _outputs(step))]
        weights = {artifact["id"] for step in exports for artifact in step["inputs"].get("weights", [])}
        trainings = [step for step in lineage if any(artifact["id"] in weights for artifact in _outputs(step))]
        for step in (*exports, *trainings):
            models.setdefault(step["execution"], []).append(name)
    return models


def _outputs(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [artifact for artifacts in step["outputs"].values() for artifact in artifacts]


def _title(model: str, evaluation: Mapping[str, Any]) -> str:
    """A model's name in tables: "candidate (transformer)"."""
    label = evaluation.get("model_label")
    return f"{model} ({label})" if model == CANDIDATE and label else model


def _number(value: float, decimals: int = 3) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # a sum with 0.0 has no negative zero


def _interval(metric: Mapping[str, float], decimals: int = 3) -> str:
    return f"{_number(metric['low'], decimals)} to {_number(metric['high'], decimals)}"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _pretty(parameters: Mapping[str, Any]) -> str:
    """Parameters as indented JSON; values that are JSON themselves are parsed."""

    def parsed(value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
        except ValueError:
            return value

    return json.dumps({name: parsed(value) for name, value in parameters.items()}, indent=1, ensure_ascii=False)
