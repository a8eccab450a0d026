"""The ingest's executor: reads the data directory, has the new pictures decoded, writes examples and rejects."""

import json
import os
from collections.abc import Sequence
from typing import Any

from absl import logging
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components import records
from components.atomic import write_text
from components.caption_ingest import dataset, rejects
from components.caption_ingest.dataset import Entry
from components.caption_ingest.examples import write_examples
from components.caption_ingest.pictures import PictureMemory, inspect_unknown


class Executor(BaseBeamExecutor):
    """See `component.CaptionIngest`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = dataset.Settings.of(exec_properties)
        data = dataset.read(settings)
        memory = PictureMemory(exec_properties["memory_dir"], settings.data_dir)
        memory.load()
        files = [file for entry in data.entries for file in (entry.file, *entry.copies)]
        inspect_unknown(files, memory, settings.data_dir, self._make_beam_pipeline)

        inspected = {entry.image_id: memory.get(entry.file) for entry in data.entries}
        clear, several = dataset.part_namesakes(data.entries, memory.get)
        sound, faulty = dataset.sift(clear, inspected)
        usable, twins = dataset.part_twins(sound, inspected, data.official)
        faulty += several + twins
        all_rejects = sorted([*data.rejects, *faulty], key=lambda reject: (reject.source, reject.line))
        for reject in all_rejects:
            logging.warning("rejected: %s", reject.to_json())
        logging.info("%d pictures taken, rejects: %s", len(usable), rejects.count(all_rejects))
        for warning in data.warnings:
            logging.warning("%s", warning)
        dataset.check_losses(data, faulty, exec_properties["max_reject_fraction"])

        examples = artifact_utils.get_single_instance(output_dict["examples"])
        write_examples(examples.uri, usable, inspected)
        _describe(examples, usable, settings.data_dir)
        examples.set_string_custom_property(records.WARNINGS, json.dumps(data.warnings))
        rejected = artifact_utils.get_single_instance(output_dict["rejects"])
        write_text(os.path.join(rejected.uri, "rejects.jsonl"), "".join(f"{r.to_json()}\n" for r in all_rejects))
        rejected.set_string_custom_property(records.COUNTS, json.dumps(rejects.count(all_rejects)))


def _describe(examples: Artifact, entries: Sequence[Entry], data_dir: str) -> None:
    """Sets what TFX expects of an Examples artifact, and our own counts."""
    examples.split_names = artifact_utils.encode_split_names(list(records.SPLITS))
    examples.set_int_custom_property("span", 0)
    examples.set_int_custom_property("version", 0)
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
    images = {split: sum(entry.split == split for entry in entries) for split in records.SPLITS}
    counts = {"images": images, "captions": sum(len(entry.captions) for entry in entries)}
    examples.set_string_custom_property(records.COUNTS, json.dumps(counts))
    examples.set_string_custom_property(records.DATA_ROOT, os.path.abspath(data_dir))
