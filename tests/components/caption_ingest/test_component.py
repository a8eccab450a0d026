import os

from components.caption_ingest import component
from components.caption_ingest.component import CaptionIngest


def test_the_memory_is_another_when_the_code_that_fills_it_is(monkeypatch):
    hashed = []
    monkeypatch.setattr(component, "source_hash", lambda *modules: hashed.append(modules) or f"hash {len(hashed)}")
    ingest = CaptionIngest("data", memory_dir="memory")
    directory, name = os.path.split(ingest.spec.exec_properties["memory_dir"])
    assert directory == "memory"
    modules = hashed[int(name.removeprefix("hash ")) - 1]
    assert {"components.images", "components.caption_ingest.pictures"} <= set(modules)
