"""The extractor's executor: computes the features that the store lacks, and writes the manifest."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging
from tfx.types.artifact import Artifact

from components.feature_extractor import extract
from components.feature_extractor.identity import fingerprint
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import record_files, records
from components.shared.features import Manifest
from components.shared.step import Artifacts, BeamStepExecutor, check_unchanged

STORE_DIR = "store_dir"  # execution property: the feature store
WEIGHTS = "the file or directory that feature_extractor names"


def store_of(settings: FeatureExtractorSettings, store_dir: str) -> FeatureStore:
    """Returns the part of a feature store that holds a backbone's features."""
    return FeatureStore(os.path.join(store_dir, fingerprint(settings)))


class Executor(BeamStepExecutor):
    """See `component.FeatureExtractor`."""

    SETTINGS_CLASS = FeatureExtractorSettings

    def run(
        self,
        inputs: Artifacts,
        outputs: Artifacts,
        settings: FeatureExtractorSettings,
        exec_properties: Mapping[str, Any],
    ) -> None:
        examples, features = inputs["examples"], outputs["features"]
        store = store_of(settings, exec_properties[STORE_DIR])
        observed = exec_properties.get(records.FINGERPRINT)
        check_unchanged(WEIGHTS, observed and observed.rpartition(" ")[0], store.directory)
        grid, channels = store.prepare_backbone(settings, lambda: check_weights(settings, store))
        images = extract.images_by_id(_identities(examples), examples.get_string_custom_property(records.DATA_ROOT))
        num_computed = extract.extract_missing(images, store, settings.batch_size, self.make_beam_pipeline)
        logging.info("computed features of %d of %d images; the others were in the store", num_computed, len(images))
        shards = extract.shards_of(images, store)
        Manifest(os.path.basename(store.directory), store.directory, grid, channels, shards).save(features.uri)
        features.set_int_custom_property(records.COMPUTED, num_computed)


def check_weights(settings: FeatureExtractorSettings, store: FeatureStore) -> None:
    """Checks that the backbone that was exported is the one that the store's directory is named after."""
    check_unchanged(WEIGHTS, os.path.basename(store.directory), fingerprint(settings))


def _identities(examples: Artifact) -> Iterator[tuple[str, str, str]]:
    """Yields (image ID, uri, sha256) of every image."""
    names = (records.IMAGE_ID, records.IMAGE_URI, records.SHA256)
    spec = {name: record_files.EXAMPLE_SPEC[name] for name in names}
    for split in records.SPLITS:
        for batch in record_files.read_examples(record_files.split_files(examples, split), spec):
            columns = [[value.decode() for value in batch[name].numpy()] for name in names]
            yield from zip(*columns, strict=True)
