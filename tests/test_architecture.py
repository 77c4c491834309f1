"""The house holds: what importing costs, what it starts, and what it promises by name."""

import graphlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import visiongarden as vg

ROOT = Path(__file__).parents[1]
HEAVY = "{'keras', 'tensorflow', 'jax', 'torch', 'cv2', 'matplotlib', 'grain', 'onnx'}"


def loaded_after(code):
    code = f"import sys\n{code}\nprint(sorted({HEAVY} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import visiongarden", "[]"),
        ("import visiongarden.config, visiongarden.types, visiongarden.errors", "[]"),
        ("from visiongarden import register, ClassMap, UserError", "[]"),
        ("import visiongarden.data", "['cv2']"),
    ],
)
def test_imports_start_no_backend(code, loaded):
    assert loaded_after(code) == loaded


def test_imports_go_downward():
    lint = Path(sys.executable).parent / "lint-imports"
    found = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_public_names():
    assert list(vg.__all__) == sorted(vg.__all__)
    for name in vg.__all__:
        assert getattr(vg, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        vg.no_such_name  # noqa: B018
    assert dir(vg) == vg.__all__


def test_every_room_says_what_it_is():
    for capacity in pkgutil.iter_modules(vg.__path__):
        if capacity.name != "__main__":
            assert importlib.import_module(f"visiongarden.{capacity.name}").__doc__


def test_nothing_private_is_in_the_texts():
    words = ("/work/", "/root/", "localhost", "index-url")
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    texts = [ROOT / n for n in names if n.endswith((".py", ".md", ".toml", ".txt", ".yaml"))]
    found = [
        (str(p), word)
        for p in texts
        if p.name != Path(__file__).name and p.is_file()
        for word in words
        if word in p.read_text(encoding="utf-8")
    ]
    assert found == []


def test_files_are_written_in_one_way():
    """Drafts with names that can be foretold are followed through links; see `storage.write`."""
    own = {"storage/write.py"}
    # Files in a draft folder that is the user's alone, or in a folder that must be new.
    folders = {
        "data/writers/splits.py",
        "data/writers/formats.py",
        "scenes/scenes.py",
        "exporters/fresh.py",
        "exporters/worker.py",
        "testing/fresh.py",
    }
    folders |= {"scaffold/new.py", "recipes/git.py"}
    source = ROOT / "src" / "visiongarden"
    for file in sorted(source.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(source).as_posix()
        if name in own:
            continue
        for word in (
            "mkstemp",
            "mkdtemp",
            "NamedTemporaryFile",
            "os.replace",
            "os.link",
            ".chmod(",
        ):
            assert word not in text, f"{name}: {word}; use visiongarden.storage"
        if name not in folders:
            for word in (".write_text(", ".write_bytes(", "cv2.imwrite"):
                assert word not in text, f"{name}: {word}; use visiongarden.storage"


def test_no_module_imports_itself_through_others():
    """No import cycles, annotations included: such modules cannot be read or tested alone."""
    graph = grimp.build_graph("visiongarden", cache_dir=None)
    sorter = graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    )
    sorter.prepare()  # raises CycleError
