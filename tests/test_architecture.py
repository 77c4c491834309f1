"""Package structure: import cost, import order, public names and the vocabulary."""

import ast
import graphlib
import importlib
import inspect
import pkgutil
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import grimp
import pytest
from tests.private_names import (
    classes_of_keras,
    imported_modules,
    own_names,
    parsed,
    private_uses,
)

import visiongarden as vg

ROOT = Path(__file__).parents[1]
MAX_PROBES = 42
HEAVY = "{'keras', 'tensorflow', 'jax', 'torch', 'cv2', 'matplotlib', 'grain', 'onnx'}"


def loaded_after(code):
    code = f"import sys\n{code}\nprint(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


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
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_public_names():
    assert list(vg.__all__) == sorted(vg.__all__)
    for name in vg.__all__:
        assert getattr(vg, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        vg.no_such_name  # noqa: B018
    assert dir(vg) == vg.__all__


def test_no_exported_name_hides_a_module():
    """Importing `package.name` would replace the exported name by the module."""
    for folder in {file.parent for file in (ROOT / "src").rglob("__init__.py")}:
        package = ".".join(folder.relative_to(ROOT / "src").parts)
        exported = getattr(importlib.import_module(package), "__all__", [])
        modules = {file.stem for file in folder.glob("*.py")}
        modules |= {file.parent.name for file in folder.glob("*/__init__.py")}
        for name in modules & set(exported):
            found = getattr(importlib.import_module(package), name)
            assert isinstance(found, types.ModuleType), f"{package}.{name}"


def test_every_package_has_a_docstring():
    for module in pkgutil.iter_modules(vg.__path__):
        if module.name != "__main__":
            assert importlib.import_module(f"visiongarden.{module.name}").__doc__


def test_the_map_names_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    names = {module.name for module in pkgutil.iter_modules(vg.__path__)} - {"__main__"}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_no_file_contains_private_paths():
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


def test_files_are_written_by_storage_only():
    """A draft with a predictable name could be redirected by a link; see `storage.write`."""
    # The cache of JAX links files that JAX has written, in a folder that nobody else can write to.
    exempt = {"storage/write.py", "backends/compilation_cache.py"}
    # These write into a private draft folder, or into a folder that must be new.
    folders = {
        "data/writers/splits.py",
        "data/writers/formats.py",
        "scenes/scenes.py",
        "exporters/fresh.py",
        "exporters/worker.py",
        "testing/fresh.py",
    }
    folders |= {"scaffold/creation.py", "recipes/git.py"}
    source = ROOT / "src" / "visiongarden"
    for file in sorted(source.rglob("*.py")):
        name = file.relative_to(source).as_posix()
        lines = file.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.lstrip().startswith(">>> "))
        if name in exempt:
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


def test_only_the_command_line_prints():
    """Library code logs and reports; `rich` and `print` belong to `cli`."""
    source = ROOT / "src" / "visiongarden"
    for file in sorted(source.rglob("*.py")):
        name = file.relative_to(source).as_posix()
        if name.startswith("cli/"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                modules = []
            assert not {"rich", "typer"} & {m.partition(".")[0] for m in modules}, name
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in {
                    "print",
                    "sys.stdout.write",
                    "sys.stderr.write",
                    "os.write",
                }, f"{name}:{node.lineno}"


def test_there_are_no_import_cycles():
    """No import cycles, annotations included: such modules cannot be read or tested alone."""
    graph = grimp.build_graph("visiongarden", cache_dir=None)
    sorter = graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    )
    sorter.prepare()  # raises CycleError


def test_new_probes_are_deliberate():
    """`getattr` and `hasattr` hide misspelled and missing attributes from mypy.

    Declare the attribute, give the base class a default, or test with `isinstance` for a class or a
    `Protocol`. The remaining ones concern objects of other libraries, custom classes and modules,
    each with its reason in a comment.
    """
    probes, unexplained = [], []
    for file in sorted((ROOT / "src" / "visiongarden").rglob("*.py")):
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.search(r"\b(getattr|hasattr)\(", line):
                probes.append(f"{file.name}:{number + 1}")
                if not any("#" in near for near in lines[max(number - 4, 0) : number + 1]):
                    unexplained.append(probes[-1])
    assert unexplained == []
    assert len(probes) <= MAX_PROBES, probes


def tensor_functions():
    """Yield the public functions and methods whose arguments and results are tensors."""
    packages = ("layers", "blocks", "backbones", "decoders", "heads", "darknet")
    for package in (*packages, "losses", "assigners", "ops", "postprocess"):
        for info in pkgutil.walk_packages(
            getattr(vg, package).__path__, f"visiongarden.{package}."
        ):
            module = importlib.import_module(info.name)
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__:
                    methods = ("call", "wire") if package in packages else ("__call__",)
                    yield from (vars(value)[name] for name in methods if name in vars(value))
    for package in (vg.ops, vg.losses):
        exported = (getattr(package, name) for name in package.__all__)
        yield from (value for value in exported if inspect.isfunction(value))


def test_tensors_are_annotated():
    """`Any` hides what a function takes; mypy refuses a missing annotation."""
    functions = list(tensor_functions())
    assert len(functions) > 100
    untyped = {
        f"{function.__module__}:{function.__qualname__}({name})"
        for function in functions
        for name, annotation in inspect.get_annotations(function).items()
        if re.search(r"\bAny\b", annotation)
    }
    assert untyped == set()


@pytest.mark.xdist_group("syntax trees")
def test_private_names_are_used_in_backends_only():
    """A release of Keras or of a backend may rename them; `backends` has a way without them."""
    source = ROOT / "src" / "visiongarden"
    trees = parsed(source)
    own = {name for tree in trees.values() for name in own_names(tree)}
    of_keras = classes_of_keras(trees.values())
    assert {"Composite", "Detector", "VectorAdamW"} <= of_keras
    found = [
        f"{file.relative_to(source)}:{line}: {name}"
        for file, tree in trees.items()
        if file.parent.name != "backends"
        for line, name in private_uses(tree, own, of_keras)
    ]
    assert found == []


OF_FILES = {
    "weights/sources/stored.py",
}
"""Files that import PyTorch to read its file format, whatever the backend is."""


@pytest.mark.xdist_group("syntax trees")
def test_backends_are_imported_in_backends_only():
    source, found = ROOT / "src" / "visiongarden", []
    for file, tree in parsed(source).items():
        name = file.relative_to(source).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = {module.partition(".")[0] for module in imported_modules(node)}
                found += [name] * bool(roots & {"tensorflow", "jax", "torch"})
    found = {name for name in found if not name.startswith("backends/")}
    assert found <= OF_FILES


WITHOUT_PUBLIC_NAME = {
    ("tests/repetition/test_repeats.py", "_inbound_nodes"),
    ("tests/backends/test_reuse.py", "_unsafe_view"),
}
"""Private names without a public counterpart: the calls of a Keras layer, and an operation that
appears in captured graphs of PyTorch."""


@pytest.mark.xdist_group("syntax trees")
@pytest.mark.slow  # scans all tests; the next one scans the package
def test_tests_use_public_names():
    folders = [ROOT / name for name in ("tests", "benchmarks", "examples")]
    trees = {file: tree for folder in folders for file, tree in parsed(folder).items()}
    all_trees = [*trees.values(), *parsed(ROOT / "src").values()]
    own = {name for tree in all_trees for name in own_names(tree)}
    found = [
        f"{name}:{line}: {used}"
        for file, tree in trees.items()
        for line, used in private_uses(tree, own)
        if ((name := file.relative_to(ROOT).as_posix()), used) not in WITHOUT_PUBLIC_NAME
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from keras.src import backend", "keras.src"),
        ("from torch import _dynamo", "torch._dynamo"),
        ("import jax._src.core", "jax._src.core"),
        ("from tensorflow.python.framework import ops", "tensorflow.python.framework"),
        ("for layer in model._flatten_layers(): pass", "_flatten_layers"),
        ("getattr(tensor, '_keras_history', None)", "_keras_history"),
        ("vars(layer)['_layers']", "_layers"),
        ("class A(keras.layers.Layer):\n def _setattr_hook(self): pass", "A._setattr_hook"),
        ("class A(keras.Model):\n def f(self): return super()._losses", "A._losses"),
        ("torch._C", "_C"),
    ],
)
def test_private_uses_finds_a_name(code, name):
    assert name in [found for _, found in private_uses(ast.parse(code), {"_losses"}, {"A"})]


@pytest.mark.parametrize(
    "code", ["from keras import layers", "self._own", "point._replace(x=1)", "a._own", "f('_own')"]
)
def test_private_uses_allows_own_and_public_names(code):
    assert list(private_uses(ast.parse(code), {"_own"})) == []


TERMS = runpy.run_path(str(ROOT / "scripts" / "terms"))


@pytest.mark.parametrize(
    ("text", "word", "line"),
    [
        ("x = 1\n# the model is judged here", "judged", 2),
        ("def least_width(judge_every):", "least", 1),
        ("class TwinModel:", "Twin", 1),
        ("# images are dropped without a word", "without a word", 1),
    ],
)
def test_terms_finds_a_word(text, word, line):
    assert (line, word) in [finding[:2] for finding in TERMS["findings"](text)]


@pytest.mark.parametrize("text", ["p3 stands for stride 8", "the ground truth", "kind", "foolish"])
def test_terms_allows_ordinary_uses(text):
    assert TERMS["findings"](text) == []


def test_the_vocabulary_is_kept(capsys):
    code = TERMS["main"]([])
    assert code == 0, capsys.readouterr().out
