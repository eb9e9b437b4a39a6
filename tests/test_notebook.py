"""The notebook runs from top to bottom, as its reader runs it."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "notebook.ipynb"


def test_the_notebook_runs_and_shows_its_figures(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "report.html" in str(outputs[-1])
    assert "ipywidgets" not in str(outputs)


BARS = """
import margin
from margin.capture.progress import progress
with progress(2000, 500, False, "answering", "collecting <b>") as advance:
    for _ in range(1500):
        advance(1)
        advance(1, step=-1)
"""


def test_progress_is_one_output_that_moves_without_widgets_or_warnings(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BARS)])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    [output] = notebook.cells[0].outputs
    assert output["output_type"] == "display_data"
    plain, html = output["data"]["text/plain"], output["data"]["text/html"]
    assert plain.startswith("answering: 2,000 of 2,000 rows")
    assert html.count('<progress value="2000" max="2000">') == 2
    assert "<b>" not in html
