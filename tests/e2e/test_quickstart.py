"""The notebook of the docs, executed on the debug config."""

import json
import pathlib

import nbformat
import pytest
from nbformat import NotebookNode

from docs import notebook
from pipeline.paths import Paths
from tests import notebook_outputs

PARAMETERS = """
CONFIG = "debug"
OVERRIDES = ["trainer.comparison_models=[{name: gru, d_model: 16, units: 16}]"]
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    return Paths(str(tmp_path_factory.mktemp("quickstart") / "runs" / "quickstart"))


@pytest.fixture(scope="module")
def cells(paths) -> list[NotebookNode]:
    """The notebook's code cells, after their execution in a directory `docs` beside `runs`."""
    directory = pathlib.Path(paths.root).parents[1] / "docs"
    directory.mkdir()
    executed = nbformat.read(notebook.PATH, as_version=4)
    notebook.execute(executed, directory, PARAMETERS)
    return [cell for cell in executed.cells if cell.cell_type == "code"]


def test_the_committed_cells_are_executed_in_order(cells):
    committed = [cell.source for cell in nbformat.read(notebook.PATH, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.source != PARAMETERS] == committed
    assert [cell.execution_count for cell in cells] == list(range(1, len(committed) + 2))


def test_it_shows_the_results_of_the_run(cells, paths):
    summary = json.loads(pathlib.Path(paths.summary).read_text())
    assert [node["state"] for node in summary["nodes"]].count("cached") == 2  # the first run was up to StatisticsGen
    text = "\n".join(notebook_outputs.texts(cells))
    bleu_4, gru = summary["metrics"]["bleu_4"], summary["comparison_models"]["gru"]["metrics"]["bleu_4"]
    assert f"{bleu_4:.3f} (" in text and f"{gru:.3f} (" in text
    assert summary["decision"] == "blessed" and "decision        blessed" in text


def test_it_shows_images_and_tables(cells):
    data = [output.data for cell in cells for output in cell.outputs if "data" in output]
    # images with captions, learning curves, attention over the best and the worst image, BLEU by caption length
    assert ["image/png" in each for each in data].count(True) == 5
    cleaned, artifacts, ancestors, metrics, captions = [each["text/html"] for each in data if "text/html" in each]
    assert "cleaned" in cleaned and "captions.Features" in artifacts and "BLEU-4" in metrics and "GRU" in captions
    assert "Exporter" in ancestors and "Exporter_gru" not in ancestors  # of the transformer, which is served


def test_its_outputs_have_no_traces_of_the_machine(cells):
    notebook_outputs.check(cells)
