"""A notebook as a page of the site: Markdown, with the images of its outputs beside it."""

import base64
import dataclasses

from nbformat import NotebookNode

_PANDAS_TABLE = '<table border="1" class="dataframe">'  # the theme styles tables without a class


@dataclasses.dataclass(frozen=True)
class NotebookPage:
    """A page and its images.

    Attributes:
      markdown: the page.
      images: path, relative to the page -> PNG.
    """

    markdown: str
    images: dict[str, bytes]


def render(notebook: NotebookNode, image_dir: str) -> NotebookPage:
    """Renders cells and outputs in order.

    Args:
      notebook: an executed notebook.
      image_dir: directory of the images, relative to the page.
    """
    parts: list[str] = []
    images: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_block("python", cell.source))
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                path = f"{image_dir}/{len(images) + 1}.png"
                images[path] = base64.b64decode(data["image/png"])
                parts.append(f"![output of the cell above]({path})")
            elif "text/html" in data:
                parts.append(data["text/html"].replace(_PANDAS_TABLE, "<table>"))
            else:
                parts.append(_block("text", data.get("text/plain", output.get("text", ""))))
    return NotebookPage("\n\n".join(parts) + "\n", images)


def _block(language: str, text: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````"
