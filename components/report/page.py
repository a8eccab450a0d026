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

from components import records
from components.report.attention import Maps
from components.report.curves import HEIGHT, WIDTH, Chart

HERE = pathlib.Path(__file__).parent
METRICS = records.QUALITY | {
    "length": "words a caption",
    "vocabulary": "vocabulary used",
    "distinct": "share of distinct captions",
    "copied": "share copied from train",
}
WHOLE = ("vocabulary",)  # counts
IN_SLICES = ("bleu_1", "bleu_4", "cider", "rouge_l")
EXAMPLES = 3  # of each reason for a reject
MOST_STEPS = 100  # of the lineage: with retraining every night from the model before, it has no end


@dataclasses.dataclass(frozen=True)
class Material:
    """What the report is made of.

    Attributes:
      evaluation: the content of `evaluation.json`.
      pictures: that of `pictures.json`, or the part of it that is shown.
      thumbnails: image id -> JPEG; pictures that could not be read are left out.
      maps: image id -> where the candidate looked; empty where it can't tell, a part where they are too large.
      grid: rows and columns of the maps.
      charts: learning curves.
      counts: {"images": {split: n}, "captions": n}.
      rejects: [{image_id, line, reason, detail}].
      lineage: see `components.history.ancestry`.
    """

    evaluation: Mapping[str, Any]
    pictures: Sequence[Mapping[str, Any]]
    thumbnails: Mapping[str, bytes]
    maps: Mapping[str, Maps]
    grid: tuple[int, int]
    charts: Sequence[Chart]
    counts: Mapping[str, Any]
    rejects: Sequence[Mapping[str, Any]]
    lineage: Sequence[Mapping[str, Any]]


def render(material: Material) -> str:
    """The file's text. Everything in it that came from data is escaped, and scripts of others are not run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}  # the candidate comes first
    environment.filters |= {"figure": _figure, "interval": _interval, "time": _time, "pretty": _pretty}
    script = (HERE / "report.js").read_text(encoding="utf-8")
    models = list(material.evaluation["models"])
    page = environment.get_template("report.html.j2").render(
        evaluation=material.evaluation,
        models={name: _title(name, material.evaluation) for name in models},
        metrics={name: label for name, label in METRICS.items() if name in material.evaluation["models"][models[0]]},
        quality=list(records.QUALITY),
        with_maps=len(material.maps),
        in_slices={name: METRICS[name] for name in IN_SLICES},
        charts=material.charts,
        chart_size=(WIDTH, HEIGHT),
        counts=material.counts,
        rejects=_by_reason(material.rejects),
        lineage=[{**step, "made": _made(step, material.evaluation)} for step in material.lineage],
        lineage_is_cut=len(material.lineage) >= MOST_STEPS,
        run=material.lineage[-1]["run"] if material.lineage else "",
        data=_data(material),
        shown=len(material.pictures),
        style=markupsafe.Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=markupsafe.Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode(errors="replace").decode()  # names of files may be no UTF-8


def _data(material: Material) -> dict[str, Any]:
    """What the page's script shows: see `report.js`."""
    rows = []
    for picture in material.pictures:
        image_id = picture["image_id"]
        row = {"id": image_id, "references": picture["references"], "models": picture["models"]}
        if image_id in material.thumbnails:
            row["jpeg"] = base64.b64encode(material.thumbnails[image_id]).decode()
        if image_id in material.maps:
            row |= {"words": material.maps[image_id].words, "weights": material.maps[image_id].weights}
        rows.append(row)
    return {"grid": list(material.grid), "pictures": rows}


def _by_reason(rejects: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, list[Mapping[str, Any]]]]:
    """[(reason, how many, some of them)], the most frequent first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for reject in rejects:
        groups.setdefault(str(reject["reason"]), []).append(reject)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [(reason, len(found), found[:EXAMPLES]) for reason, found in ordered]


def _made(step: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Which of the models a step made, as the baseline has a Trainer's run of its own; empty for other steps."""
    places = [artifact["uri"].rstrip("/") + "/" for made in step["outputs"].values() for artifact in made]
    return ", ".join(
        name for name in ("candidate", "baseline") if (evaluation.get(name) or "").startswith(tuple(places))
    )


def _title(model: str, evaluation: Mapping[str, Any]) -> str:
    """What a model is called in tables: "candidate (transformer)"."""
    name = evaluation.get("model_name")
    return f"{model} ({name})" if model == "candidate" and name else model


def _figure(value: float, metric: str = "") -> str:
    """Three digits, none for counts."""
    return f"{value:.0f}" if metric in WHOLE else f"{value:.3f}"


def _interval(figure: Mapping[str, float], metric: str = "") -> str:
    return f"{_figure(figure['low'], metric)} to {_figure(figure['high'], metric)}"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _pretty(parameters: Mapping[str, Any]) -> str:
    """Parameters as indented JSON; those that are JSON themselves are opened."""

    def opened(value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
        except ValueError:
            return value

    return json.dumps({name: opened(value) for name, value in parameters.items()}, indent=1, ensure_ascii=False)
