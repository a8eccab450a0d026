"""The report's executor: gathers what the steps have written, and renders it."""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components import records
from components.atomic import write_text
from components.features import Manifest
from components.history import says_something
from components.progress import Progress
from components.report import attention, curves, page, thumbnails

MOST_PICTURES = 1000  # in the gallery, all of whose bytes come to less than 15 MB
TEXT_BYTES = 1_500_000  # of captions and references
PICTURE_BYTES = 8_000_000  # of all thumbnails; base64 makes it a third more
MAP_BYTES = 2_500_000  # of all attention maps in base64: 1,000 captions of 29 words on an 8x8 grid
OTHER_MODEL_RUNS = "other_model_runs"  # the input that may be missing, or be several
EVALUATION_URI = "evaluation_uri"  # execution property: the evaluation with the figures; "" where it is reported
LINEAGE = "lineage"  # execution property: JSON, see `components.history.ancestry`


class Executor(BaseExecutor):
    """See `component.Report`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        others = input_dict.get(OTHER_MODEL_RUNS) or []
        single = {key: artifacts for key, artifacts in input_dict.items() if key != OTHER_MODEL_RUNS}
        inputs = {key: artifact_utils.get_single_instance(artifacts) for key, artifacts in single.items()}
        report = artifact_utils.get_single_instance(output_dict["report"])
        report.set_int_custom_property(records.CANDIDATE_ID, inputs["model"].id)
        uri = exec_properties.get(EVALUATION_URI)
        if uri is None:  # a runner without our driver
            uri = inputs["evaluation"].uri if says_something(inputs["evaluation"].mlmd_artifact) else ""
        if not uri:
            # the candidate is the blessed model, and the run that measured it has reported
            report.set_string_custom_property(records.DECISION, records.UNCHANGED)
            return
        material = gather(inputs, others, uri, json.loads(exec_properties.get(LINEAGE, "[]")))
        write_text(os.path.join(report.uri, records.REPORT_FILE), page.render(material))


def gather(
    inputs: Mapping[str, Artifact],
    other_model_runs: Sequence[Artifact],
    evaluation_uri: str,
    lineage: Sequence[Mapping[str, Any]],
) -> page.Material:
    """Reads everything that the report shows."""
    pictures = chosen(_read_json(os.path.join(evaluation_uri, records.PICTURES_FILE)))
    manifest = Manifest.load(inputs["features"].uri)
    root = inputs["examples"].get_string_custom_property(records.DATA_ROOT)
    small, progress = {}, Progress("thumbnails", len(pictures))
    for picture in pictures:
        path = os.path.join(root, picture["image_uri"])
        if (jpeg := thumbnails.thumbnail(path, PICTURE_BYTES // len(pictures))) is not None:
            small[picture["image_id"]] = jpeg
        progress.advance()
    model_dir = path_utils.serving_model_path(inputs["model"].uri)
    with manifest.mending():
        maps = attention.read(model_dir, manifest, [picture["image_id"] for picture in pictures])
    return page.Material(
        _read_json(os.path.join(evaluation_uri, records.EVALUATION_FILE)),
        pictures,
        small,
        attention.within(maps, MAP_BYTES),
        manifest.grid,
        curves.charts(curves.read(_logs(inputs["model_run"], other_model_runs))),
        json.loads(inputs["examples"].get_string_custom_property(records.COUNTS)),
        _read_lines(inputs["rejects"].uri),
        lineage,
    )


def _logs(own: Artifact, others: Sequence[Artifact]) -> dict[str, str]:
    """Name -> directory of the logs; the candidate's have none where they are alone."""
    names = {run.id: run.get_string_custom_property(records.MODEL_NAME) for run in (own, *others)}
    return {(names[own.id] or "candidate") if others else "": own.uri} | {
        names[run.id] or f"model {run.id}": run.uri for run in others
    }


def chosen(pictures: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All pictures, or the first by hash of their names where they, or their texts, are too many for one file."""
    by_hash = sorted(pictures, key=lambda picture: hashlib.sha256(picture["image_id"].encode()).digest())
    sizes = itertools.accumulate(len(json.dumps(picture, ensure_ascii=False).encode()) for picture in by_hash)
    shown = min(MOST_PICTURES, sum(size <= TEXT_BYTES for size in sizes))
    return list(pictures) if shown == len(pictures) else by_hash[:shown]


def _read_json(path: str) -> Any:
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def _read_lines(directory: str) -> list[Mapping[str, Any]]:
    """All JSON lines of the files in a directory."""
    found = []
    for path in sorted(tf.io.gfile.glob(os.path.join(directory, "*.jsonl"))):
        with tf.io.gfile.GFile(path) as file:
            found += [json.loads(line) for line in file]
    return found
