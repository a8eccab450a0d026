"""Hooks of mkdocs: pages made of README.md and of the notebook; links to files that are no pages, to the repository."""

import pathlib
import posixpath
import re

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs import notebook_page

FRONT_PAGE, NOTEBOOK = "README.md", "docs/quickstart.ipynb"
ON_SITE = {FRONT_PAGE: "index.md", NOTEBOOK: "quickstart.md"}  # file in the repository -> page of the site
DOCS = "docs/"
_ROOT = pathlib.Path(__file__).parent.parent
_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the front page, and the notebook with its images."""
    notebook = notebook_page.render(nbformat.read(_ROOT / NOTEBOOK, as_version=4), image_dir="quickstart")
    contents = {
        ON_SITE[FRONT_PAGE]: (_ROOT / FRONT_PAGE).read_text(encoding="utf-8"),
        ON_SITE[NOTEBOOK]: notebook.markdown,
        **notebook.images,
    }
    for path, content in contents.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page, which are those between the files of the repository."""
    source = page.file.src_uri
    place = next((file for file, page in ON_SITE.items() if page == source), DOCS + source)  # in the repository

    def replace(match: re.Match) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
        on_site = ON_SITE.get(target, target.removeprefix(DOCS))
        file = files.get_file_from_path(on_site)
        if file is not None and file.inclusion.is_included():
            return f"[{text}]({posixpath.relpath(on_site, posixpath.dirname(source) or '.')}{anchor})"
        if not (_ROOT / target).exists():
            return match[0]  # mkdocs reports it
        repository = config.extra["repository"]
        return f"[{text}]({repository}/blob/main/{target}{anchor})" if repository else text

    return _LINK.sub(replace, markdown)
