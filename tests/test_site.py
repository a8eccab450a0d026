"""The documentation as a site: it builds in strict mode, has every page, and loads nothing from other hosts."""

import os
import pathlib
import re

os.environ["NO_MKDOCS_2_WARNING"] = "1"  # printed when the theme is imported

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from tests.factories import ROOT

pytestmark = pytest.mark.slow
REPOSITORY = "https://example.com/captions"


def build_site(site: pathlib.Path, **settings) -> None:
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site), **settings))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY", REPOSITORY)
        build_site(directory)
    return directory


def addresses(page: pathlib.Path, tags: str) -> set[str]:
    """What the tags of a page link to or load."""
    found = re.findall(rf"<(?:{tags})\b[^>]*?\b(?:href|src)=[\"']?([^\"'> ]*)", page.read_text(encoding="utf-8"))
    return {address.partition("#")[0] for address in found} - {""}


def test_the_front_page_leads_to_every_page(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert all((site / page).is_file() for page in pages)
    assert pages <= addresses(site / "index.html", "a")


def test_the_notebook_is_a_page_with_its_images(site):
    page = site / "quickstart.html"
    assert "quickstart.html" in addresses(site / "index.html", "a")
    assert "data.html" in addresses(page, "a")
    images = [address for address in addresses(page, "img") if address.startswith("quickstart/")]
    assert len(images) == 5 and all((site / image).read_bytes().startswith(b"\x89PNG") for image in images)


def test_nothing_is_loaded_from_other_hosts(site):
    pages, styles = list(site.rglob("*.html")), list(site.rglob("*.css"))
    assert pages and styles
    for page in pages:
        loaded = addresses(page, "script|link|img|iframe|source")
        assert loaded and not [address for address in loaded if "//" in address], page
        assert not re.search(r"class=\"[^\"]*\bmermaid\b", page.read_text()), f"{page}: the theme would load its script"
    for style in styles:
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_links_to_code_lead_to_the_repository(site):
    links = addresses(site / "index.html", "a")
    code = {link.removeprefix(f"{REPOSITORY}/blob/main/") for link in links if link.startswith(REPOSITORY)}
    assert "pipeline/pipeline.py" in code and len(code) >= 6 and all((ROOT / path).is_file() for path in code)


@pytest.mark.parametrize("link", ["[a](gone.md)", "[a](b.md#gone)"], ids=["page", "anchor"])
def test_a_broken_link_fails_the_build(tmp_path, link):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text(f"# A\n\n{link}\n")
    (docs / "b.md").write_text("# B\n")
    with pytest.raises(Abort):
        build_site(tmp_path / "site", docs_dir=str(docs), hooks=[], nav=["a.md", "b.md"])
