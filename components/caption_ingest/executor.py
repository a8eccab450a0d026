"""The ingest's executor: runs the ingest and describes its artifacts."""

import json
from collections.abc import Mapping
from typing import Any

from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.caption_ingest import dataset, rejects
from components.caption_ingest.ingest import Directories, Result, ingest
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import records, storage
from components.shared.step import Artifacts, BeamStepExecutor, check_unchanged

CACHE_DIR = "cache_dir"  # execution property: directory of the inspection cache
MAX_NAMED = 10  # files that could not be read


class Executor(BeamStepExecutor):
    """See `component.CaptionIngest`."""

    SETTINGS_CLASS = CaptionIngestSettings

    def run(
        self,
        inputs: Artifacts,
        outputs: Artifacts,
        settings: CaptionIngestSettings,
        exec_properties: Mapping[str, Any],
    ) -> None:
        examples, rejected = outputs["examples"], outputs["rejects"]
        data = dataset.read(settings)  # no image is opened yet
        check_unchanged(f"data.dir: {data.data_dir}", exec_properties.get(records.FINGERPRINT), data.fingerprint())
        directories = Directories(exec_properties[CACHE_DIR], examples.uri, rejected.uri)
        result = ingest(data, settings, directories, self.make_beam_pipeline)
        _describe(examples, result)
        examples.set_string_custom_property(records.WARNINGS, json.dumps(result.warnings))
        if result.unread:
            examples.set_string_custom_property(records.INCOMPLETE, json.dumps(result.unread[:MAX_NAMED]))
        rejected.set_string_custom_property(records.COUNTS, json.dumps(rejects.count(result.rejects)))


def _describe(examples: Artifact, result: Result) -> None:
    """Sets what TFX expects of an Examples artifact, and our own counts."""
    examples.split_names = artifact_utils.encode_split_names(list(records.SPLITS))
    examples.set_int_custom_property("span", 0)
    examples.set_int_custom_property("version", 0)
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
    num_images = {split: sum(image.split == split for image in result.images) for split in records.SPLITS}
    counts = {"images": num_images, "captions": sum(len(image.captions) for image in result.images)}
    examples.set_string_custom_property(records.COUNTS, json.dumps(counts))
    examples.set_string_custom_property(records.DATA_ROOT, storage.absolute(result.data_dir))
    examples.set_string_custom_property(records.SPLITS_FROM, records.OFFICIAL if result.is_official else records.HASHED)
