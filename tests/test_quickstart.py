"""The notebook as it is committed: executed from top to bottom, small, and without traces of where it ran."""

import ast
import re

import nbformat
import pytest
from nbformat import NotebookNode

from docs import notebook_page
from docs.notebook import PARAMETERS, PATH
from tests import notebook_outputs

MAX_BYTES = 1_500_000
PANDAS_TABLE = '<table border="1" class="dataframe"><td>t</td></table>'


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.fixture(scope="module")
def code_cells(notebook) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_was_executed_from_top_to_bottom(code_cells):
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    assert not [output for cell in code_cells for output in cell.outputs if output.output_type == "error"]


def test_it_shows_what_it_is_there_for(code_cells):
    kinds = [kind for cell in code_cells for output in cell.outputs for kind in output.get("data", {})]
    assert set(kinds) == {"image/png", "text/html", "text/plain"} and kinds.count("image/png") == 5
    text = "\n".join(notebook_outputs.texts(code_cells))
    for words in ("before cleaning", "after cleaning", "captions.Features", "Trainer_gru", "blessed", "BLEU-4"):
        assert words in text


def test_its_outputs_have_no_traces_of_the_machine(code_cells):
    notebook_outputs.check(code_cells)


def printing(text: str, name: str = "stdout") -> list[NotebookNode]:
    return [nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("stream", name=name, text=text)])]


@pytest.mark.parametrize(
    "text", ["/srv/runs/x", "log: /tmp/x/log.txt", "'/opt/a'", "file:/home/me/a", "a.py:1: UserWarning: x", "1\r2"]
)
def test_traces_of_the_machine_are_found(text):
    with pytest.raises(AssertionError):
        notebook_outputs.check(printing(text))
    with pytest.raises(AssertionError):
        notebook_outputs.check(printing("fine", name="stderr"))


@pytest.mark.parametrize(
    "text", ["../runs/quickstart/log.txt\n", "</td></tr>", "0.5 / 0.6", "images/s", "data warning"]
)
def test_what_is_no_trace_of_the_machine_passes(text):
    notebook_outputs.check(printing(text))


def test_it_is_small():
    assert PATH.stat().st_size < MAX_BYTES


def test_its_parameters_are_in_one_cell(code_cells):
    [cell] = [cell for cell in code_cells if PARAMETERS in cell.metadata.get("tags", ())]
    assigned = {target.id for node in ast.parse(cell.source).body for target in node.targets}
    assert assigned == {"CONFIG", "ROOT", "OVERRIDES"}


def test_it_depends_on_no_version_of_python(notebook):
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


def test_its_links_resolve(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    links = [link for text in texts for link in re.findall(r"\]\((?!\w+://)([^)#]+)", text)]
    assert links and all((PATH.parent / link).is_file() for link in links)


def test_cells_and_outputs_become_markdown():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Title"),
            nbformat.v4.new_code_cell(
                "x = 1",
                outputs=[
                    nbformat.v4.new_output("stream", text="a\nb\n"),
                    nbformat.v4.new_output("display_data", {"text/plain": "<Figure>", "image/png": "aGk="}),
                    nbformat.v4.new_output("execute_result", {"text/plain": "t", "text/html": PANDAS_TABLE}),
                    nbformat.v4.new_output("execute_result", {"text/plain": "1"}),
                ],
            ),
        ]
    )
    page = notebook_page.render(notebook, "images")
    assert page.markdown == (
        "# Title\n\n````python\nx = 1\n````\n\n````text\na\nb\n````\n\n![output of the cell above](images/1.png)\n\n"
        "<table><td>t</td></table>\n\n````text\n1\n````\n"
    )
    assert page.images == {"images/1.png": b"hi"}
