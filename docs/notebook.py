"""Executes the notebook of the docs and keeps its outputs: python -m docs.notebook."""

import os
import pathlib
import sys
import tempfile

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = pathlib.Path(__file__).parent.parent
PATH = ROOT / "docs" / "quickstart.ipynb"
PARAMETERS = "parameters"  # the tag of the cell that others may follow with values of their own
CELL_TIMEOUT = 1800  # seconds


def execute(notebook: NotebookNode, directory: pathlib.Path, parameters: str = "") -> None:
    """Executes the cells of a notebook in order, with the code of this checkout.

    Args:
      notebook: the notebook, whose outputs are replaced.
      directory: the kernel's working directory, to which the notebook's paths are relative.
      parameters: Python code; a cell with it is inserted after the one tagged `parameters`, as papermill does.

    Raises:
      CellExecutionError: a cell failed; the notebook has the outputs up to there.
    """
    if parameters:
        [row] = [row for row, cell in enumerate(notebook.cells) if PARAMETERS in cell.metadata.get("tags", ())]
        notebook.cells.insert(row + 1, nbformat.v4.new_code_cell(parameters))
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        record_timing=False,  # times of the day, which would change with every execution
        coalesce_streams=True,
    )
    programs = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # as in an active environment
    client.execute(env={**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT)})


def main() -> None:
    """Executes the notebook as a first reader would, with nothing cached, and writes it."""
    notebook = nbformat.read(PATH, as_version=nbformat.NO_CONVERT)
    metadata = dict(notebook.metadata)  # without the kernel's additions, which depend on the version of Python
    with tempfile.TemporaryDirectory() as directory:
        workplace = pathlib.Path(directory) / PATH.parent.name
        workplace.mkdir()
        execute(notebook, workplace)
    notebook.metadata = nbformat.from_dict(metadata)
    nbformat.write(notebook, PATH)


if __name__ == "__main__":
    main()
