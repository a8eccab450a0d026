"""The report's executor: gathers what the steps have written, and renders it."""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.report import attention, curves, page, thumbnails
from components.shared import evaluations, record_files, records, storage
from components.shared.features import Manifest
from components.shared.images import reading
from components.shared.mlmd.results import has_results
from components.shared.progress import LOGGER, Progress
from components.shared.step import Artifacts, StepExecutor

MAX_IMAGES = 1000  # in the gallery; all of its bytes below come to less than 15 MB
TEXT_BYTES = 1_500_000  # of captions and references
THUMBNAIL_BYTES = 8_000_000  # of all thumbnails; base64 adds a third
MAX_NAMED = 10  # images that could not be read
MAP_BYTES = 2_500_000  # of all attention maps in base64: 1,000 captions of 29 words on an 8x8 grid

# execution properties that the driver sets
EVALUATION_URI = "evaluation_uri"  # the evaluation with the metrics; "" where there is a report about it
LINEAGE = "lineage"  # JSON, see `components.shared.mlmd.ancestry`


class Executor(StepExecutor):
    """See `component.Report`."""

    def run(self, inputs: Artifacts, outputs: Artifacts, settings: None, exec_properties: Mapping[str, Any]) -> None:
        report = outputs["report"]
        report.set_int_custom_property(records.CANDIDATE_ID, inputs["model"].id)
        uri = exec_properties.get(EVALUATION_URI)
        if uri is None:  # a runner without our driver
            uri = inputs["evaluation"].uri if has_results(inputs["evaluation"].mlmd_artifact) else ""
        if not uri:
            # the candidate is the blessed model, and the run that evaluated it has a report
            report.set_string_custom_property(records.DECISION, records.UNCHANGED)
            return
        data = gather(inputs, uri, json.loads(exec_properties.get(LINEAGE, "[]")))
        storage.write_text(os.path.join(report.uri, records.REPORT_FILE), page.render(data))
        if data.unread:
            report.set_string_custom_property(records.INCOMPLETE, json.dumps(data.unread[:MAX_NAMED]))


def gather(inputs: Artifacts, evaluation_uri: str, lineage: Sequence[Mapping[str, Any]]) -> page.ReportData:
    """Reads everything that the report shows."""
    evaluation = evaluations.read_evaluation(evaluation_uri)
    images = sample_images(evaluations.read_images(evaluation_uri))
    jpegs, unread = _thumbnails(inputs["examples"].get_string_custom_property(records.DATA_ROOT), images)
    manifest = Manifest.load(inputs["features"].uri)
    model_dir = path_utils.serving_model_path(inputs["model"].uri)
    with manifest.deleting_corrupt_shards():
        maps = attention.read(model_dir, manifest, [image["image_id"] for image in images])
    return page.ReportData(
        evaluation=evaluation,
        images=images,
        thumbnails=jpegs,
        unread=unread,
        maps=attention.truncate_to_bytes(maps, MAP_BYTES),
        grid=manifest.grid,
        charts=curves.charts(curves.read(_logs(inputs["model_run"], inputs.all("comparison_model_runs")))),
        counts=json.loads(inputs["examples"].get_string_custom_property(records.COUNTS)),
        rejects=record_files.read_rejects(inputs["rejects"].uri),
        lineage=lineage,
    )


def sample_images(images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All images, or the first by hash of their names where they, or their texts, are too many for one file."""
    by_hash = sorted(images, key=lambda image: hashlib.sha256(image["image_id"].encode()).digest())
    sizes = itertools.accumulate(len(json.dumps(image, ensure_ascii=False).encode()) for image in by_hash)
    num_shown = min(MAX_IMAGES, sum(size <= TEXT_BYTES for size in sizes))
    return list(images) if num_shown == len(images) else by_hash[:num_shown]


def _thumbnails(root: str, images: Sequence[Mapping[str, Any]]) -> tuple[dict[str, bytes], list[str]]:
    """(image ID -> JPEG, the images that are there and cannot be read).

    Raises:
      StorageError: the bucket of the images cannot be read.
    """
    jpegs: dict[str, bytes] = {}
    unread: list[str] = []
    progress = Progress("thumbnails", len(images))
    paths = [os.path.join(root, image["image_uri"]) for image in images]
    for image, path, image_file in zip(images, paths, reading.read_many(paths), strict=True):
        try:
            jpeg = thumbnails.thumbnail(image_file, THUMBNAIL_BYTES // len(images))
        except (OSError, tf.errors.OpError) as error:
            LOGGER.warning("no thumbnail of %s: %s", path, error)
            unread.append(image["image_id"])
        else:
            if jpeg is not None:
                jpegs[image["image_id"]] = jpeg
        progress.update()
    return jpegs, unread


def _logs(candidate: Artifact, comparisons: Sequence[Artifact]) -> dict[str, str]:
    """Name -> directory of the training logs; the candidate's name is empty where there are no others."""
    labels = {run.id: run.get_string_custom_property(records.MODEL_LABEL) for run in (candidate, *comparisons)}
    return {(labels[candidate.id] or "candidate") if comparisons else "": candidate.uri} | {
        labels[run.id] or f"model {run.id}": run.uri for run in comparisons
    }
