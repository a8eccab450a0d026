"""The extractor's executor: computes what the feature store lacks, and writes the manifest."""

import os
from collections.abc import Iterator
from typing import Any

from absl import logging
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components import records
from components.feature_extractor import backbones, extract
from components.feature_extractor.store import FeatureStore
from components.features import Manifest


def settings_of(exec_properties: dict[str, Any]) -> backbones.BackboneSettings:
    """The backbone that the execution properties name."""
    return backbones.BackboneSettings(
        exec_properties["backbone"], exec_properties["weights"], exec_properties["image_size"]
    )


def store_of(exec_properties: dict[str, Any], settings: backbones.BackboneSettings) -> FeatureStore:
    """The store's directory for a backbone."""
    return FeatureStore(os.path.join(exec_properties["store_dir"], backbones.fingerprint(settings)))


class Executor(BaseBeamExecutor):
    """See `component.FeatureExtractor`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        settings = settings_of(exec_properties)
        store = store_of(exec_properties, settings)
        grid, channels = store.prepare_backbone(settings)
        pictures = extract.pictures_in(_identities(examples), examples.get_string_custom_property(records.DATA_ROOT))
        computed = extract.extract_missing(pictures, store, exec_properties["batch_size"], self._make_beam_pipeline)
        logging.info("%d of %d pictures computed, the others were in the store", computed, len(pictures))
        shards = extract.shards_of(pictures, store)
        features = artifact_utils.get_single_instance(output_dict["features"])
        Manifest(os.path.basename(store.directory), store.directory, grid, channels, shards).save(features.uri)
        features.set_int_custom_property(records.COMPUTED, computed)


def _identities(examples: Artifact) -> Iterator[tuple[str, str, str]]:
    """(image id, uri, sha256) of every picture."""
    names = (records.IMAGE_ID, records.IMAGE_URI, records.SHA256)
    spec = {name: records.EXAMPLE_SPEC[name] for name in names}
    for split in records.SPLITS:
        for batch in records.read_examples(records.split_files(examples, split), spec):
            columns = [[value.decode() for value in batch[name].numpy()] for name in names]
            yield from zip(*columns, strict=True)
