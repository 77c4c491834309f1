"""The notebooks in `examples/` are committed without outputs and run from top to bottom."""

import ast
import json
import types
import warnings
from pathlib import Path

import nbformat
import pytest

import visiongarden as vg

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_there_is_a_notebook(path):
    assert path.stat().st_size < 20_000


def test_the_notebook_is_valid_and_has_no_outputs(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_the_code_uses_public_names(path):
    """Each attribute of `vg` is exported by its package, and exists."""
    chains = set()
    for node in ast.walk(ast.parse("\n".join(code_of(path)))):
        names = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if names and isinstance(node, ast.Name) and node.id == "vg":
            chains.add(tuple(names))
    assert len(chains) > 5
    for names in chains:
        found = vg
        for name in names:
            if isinstance(found, types.ModuleType):
                assert name in found.__all__, names
            found = getattr(found, name)


@pytest.mark.slow  # the README has the quick counterparts
def test_the_notebook_runs(path, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        # Warnings of Jupyter's packages when they are imported.
        warnings.simplefilter("ignore")
        import nbclient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    pages = [out["data"].get("text/html", "") for out in outputs if "data" in out]
    assert any("<td" in page and "backbone" in page for page in pages)
    assert any("data:image/png;base64," in page for page in pages)
    # The bar is one line that is replaced, not one line per update.
    bars = [out for out in outputs if out.output_type == "display_data"]
    assert [out["data"]["text/plain"][:5] for out in bars] == ["epoch"]
    streams = [out for out in outputs if out.output_type == "stream"]
    assert all(len(out.text.splitlines()) < 4 for out in streams)
