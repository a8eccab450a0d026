import os

from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.code_identity import code_identity


def test_the_cache_directory_changes_with_the_inspecting_code():
    ingest = CaptionIngest(CaptionIngestSettings(), cache_dir="cache", dir="data")
    cache_dir = ingest.spec.exec_properties["cache_dir"]
    assert cache_dir == os.path.join("cache", code_identity("components.caption_ingest.inspection"))
