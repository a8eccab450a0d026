"""Hooks of mkdocs: README.md is the front page, and links to files that are no pages lead to the repository."""

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FRONT_PAGE, SITE_FRONT_PAGE = "README.md", "index.md"
DOCS = "docs/"
_ROOT = pathlib.Path(__file__).parent.parent
_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the front page."""
    files.append(File.generated(config, SITE_FRONT_PAGE, content=(_ROOT / FRONT_PAGE).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page, which are those between the files of the repository."""
    source = page.file.src_uri
    place = FRONT_PAGE if source == SITE_FRONT_PAGE else DOCS + source  # in the repository

    def replace(match: re.Match) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
        on_site = SITE_FRONT_PAGE if target == FRONT_PAGE else target.removeprefix(DOCS)
        file = files.get_file_from_path(on_site)
        if file is not None and file.inclusion.is_included():
            return f"[{text}]({posixpath.relpath(on_site, posixpath.dirname(source) or '.')}{anchor})"
        if not (_ROOT / target).exists():
            return match[0]  # mkdocs reports it
        repository = config.extra["repository"]
        return f"[{text}]({repository}/blob/main/{target}{anchor})" if repository else text

    return _LINK.sub(replace, markdown)
