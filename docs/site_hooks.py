"""Hooks of mkdocs: README.md is the front page, and links to files outside docs/ lead to the repository."""

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

README = pathlib.Path(__file__).parent.parent / "README.md"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the front page."""
    text = README.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links to files of the repository into links to its web pages."""
    docs = pathlib.Path(config.docs_dir)
    root = README.parent
    directory = root if page.file.src_uri == "index.md" else (docs / page.file.src_uri).parent

    def replace(match: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(directory.relative_to(root).as_posix(), match[2]))
        is_page = path.startswith("docs/") or files.get_file_from_path(match[2]) is not None
        if is_page or not (root / path).exists():  # what does not exist is reported by mkdocs
            return match[0]
        repository = config.extra["repository"]
        return f"[{match[1]}]({repository}/blob/main/{path}{match[3] or ''})" if repository else match[1]

    return _LINK.sub(replace, markdown)
