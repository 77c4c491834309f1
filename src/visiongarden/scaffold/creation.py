"""`new`: create a component of any kind, or a project, from templates, with tests that pass."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from visiongarden.errors import UserError, nearest, option
from visiongarden.kinds import KINDS
from visiongarden.scaffold.names import name_forms, reject_known_module

_FEATURE_MAP = "(2, 16, 24, 8)"
_FEATURE_MAPS = '{"p3": (2, 8, 12, 8), "p4": (2, 4, 6, 16), "p5": (2, 2, 3, 24)}'
_TEST_ARGUMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "layer": (_FEATURE_MAP, ()),
    "block": (_FEATURE_MAP, ("filters=8",)),
    "backbone": ("(2, 64, 96, 3)", ("channels=4",)),
    "decoder": (_FEATURE_MAPS, ("channels=8",)),
    "head": (_FEATURE_MAPS, ("num_classes=3", "channels=8", "bins=4")),
}
"""Inputs and constructor arguments of the generated test by kind; small, so that it runs fast."""

# Parts that complete the new one to a small model in the generated test.
_TEST_PARTS = {
    "backbone": "vg.backbones.CSPDarknet(depth=0.33, width=0.0625)",
    "decoder": "vg.decoders.FPN(channels=8)",
    "head": "vg.heads.AnchorFree(num_classes=3, bins=4)",
}
# Parts that complete the new one to a model of useful size in the generated recipe.
_RECIPE_PARTS = {
    "backbone": "CSPDarknet, depth: 0.33, width: 0.25",
    "decoder": "PathAggregation",
    "head": "AnchorFree",
}
_RECIPE_LINES = {
    "loss": "model.head.loss.class_loss={type: $Name}",
    "assigner": "model.head.assigner={type: $Name}",
    "decoding": "model.head={type: Classification, decoding: {type: $Name}}",
    "transform": "transforms=[{type: $Name}]",
    "reader": "data.reader={type: $Name}",
    "task": "task=$stem",
    "metric": "evaluation.metrics=[{type: $Name}]",
    "callback": "training.callbacks=[{type: $Name, minutes: 30}]",
    "optimizer": "training.optimizer={type: $Name, learning_rate: 0.001}",
    "schedule": "training.optimizer.learning_rate={type: $Name}",
}
"""Override of a recipe that uses the new component, by kind."""

CREATED = (*KINDS, "rules", "project")
"""Kinds of code that `new` can create."""

HEADS = {"detection": "head", "instance_segmentation": "mask_head"}
"""Templates of heads by the name of their task."""


@dataclass(frozen=True)
class Created:
    """Files that `new` created, and commands to run next.

    Attributes:
        files: Paths in the order in which they were written.
        commands: Shell commands that test and use the new code, for the current working directory.
    """

    files: tuple[Path, ...]
    commands: tuple[str, ...]


def new(kind: str, name: str, output: str | Path = ".", *, task: str | None = None) -> Created:
    """Create code, a test and, for parts, a recipe from templates.

    Existing files are never overwritten.

    Args:
        kind: One of `CREATED`.
        name: Name of the class and its module, in CamelCase or snake_case.
        output: Folder for the files, which is created if it does not exist. If it is a package (it
            contains `__init__.py`), the test imports from the package and is placed in the
            project's `tests` folder if there is one.
        task: Name of the task of a head, one of `HEADS`; None: detection.

    Returns:
        The created files and commands to run next.

    Raises:
        UserError: If the kind does not exist, if the task has no template or the kind has no task,
            if the name is invalid or already taken, or if one of the files exists.

    Example:
        >>> new("block", "GatedUnit").files
        (PosixPath('gated_unit.py'), PosixPath('test_gated_unit.py'))
    """
    if kind not in CREATED:
        raise UserError(f"there is no template for {kind!r}", fix=nearest(kind, CREATED))
    forms = name_forms(name)
    if kind == "project":
        reject_known_module(forms.module)
        return _project(forms.class_name, forms.module, Path(output))
    if kind == "rules":
        return _rules(forms.module, Path(output))
    return _single(kind, forms.class_name, forms.module, Path(output), _template(kind, task))


def _template(kind: str, task: str | None) -> str:
    """Return the name of the template of a kind, and of the task of a head."""
    if task is None:
        return kind
    if kind != "head":
        raise UserError(
            f"a template of the kind {kind} depends on no task",
            rule=f"{option('task')} for heads only",
            received=f"{option('task')} {task}",
            fix=f"visiongarden new {kind} NAME",
        )
    if task not in HEADS:
        raise UserError(
            f"there is no template of a head for the task {task!r}",
            rule=f"one of {', '.join(HEADS)}",
            fix=nearest(task, HEADS),
        )
    return HEADS[task]


def _single(kind: str, class_name: str, stem: str, into: Path, template: str) -> Created:
    package, tests = _places(into)
    module = f"{package}.{stem}" if package else stem
    if not package and not (into / f"{stem}.py").exists():
        reject_known_module(stem)
    test = tests / f"test_{stem}.py"
    # An activation is a function.
    name = stem if kind == "activation" else class_name
    line = Template(_RECIPE_LINES.get(kind, "")).substitute(Name=name, stem=stem)
    own = {"Name": name, "stem": stem, "module": module, "package": module.partition(".")[0]}
    texts = {into / f"{stem}.py": _text(f"{template}.py", **own, recipe=_as_yaml(line))}
    texts[test] = _test(kind, name, module)
    commands = [f"pytest {test.as_posix()}", f"visiongarden check {module}"]
    if kind in _TEST_PARTS:
        recipe = into / f"{stem}.yaml"
        texts[recipe] = _recipe({kind: class_name}, module, recipe)
        commands.append(f"visiongarden train {recipe.as_posix()} --import {module}")
    elif line:
        commands.append(f"visiongarden train my_images --import {module} {shlex.quote(line)}")
    return Created(_write(texts), tuple(commands))


def _places(into: Path) -> tuple[str, Path]:
    """Return the dotted name of a package ("" for a plain folder) and the folder of its tests."""
    package, top = _package(into)
    tests = top.parent / "tests" if package else into
    if package and not tests.is_dir() and (top.parent.parent / "tests").is_dir():
        tests = top.parent.parent / "tests"
    return package, tests if tests.is_dir() else into


def _rules(stem: str, into: Path) -> Created:
    """Write rules for a checkpoint, which are data, with their test."""
    package, tests = _places(into)
    path, test = into / f"{stem}.yaml", tests / f"test_{stem}.py"
    line, place = "from pathlib import Path", f'Path(__file__).with_name("{stem}.yaml")'
    if package:
        line = "from importlib.resources import files"
        place = f'str(files("{package}") / "{stem}.yaml")'
    texts = {
        path: _text("rules.yaml", file=path.as_posix()),
        test: _text("test_rules.py", stem=stem, imports=line, place=place),
    }
    commands = (
        f"pytest {test.as_posix()}",
        "visiongarden transfer checkpoint.pth model.keras --output started.keras "
        f"--rules {shlex.quote(path.as_posix())}",
        "visiongarden train my_images "
        + shlex.quote(f"model.weights={{source: checkpoint.pth, rules: {path.as_posix()}}}"),
    )
    return Created(_write(texts), commands)


def _package(into: Path) -> tuple[str, Path]:
    """Return the dotted name and the top-level folder of a package.

    The name is "" if the folder is not a package.
    """
    folder, steps = into.resolve(), []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        steps.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(steps)), (folder / steps[-1] if steps else into)


def _project(class_name: str, module: str, into: Path) -> Created:
    root = into / module
    if root.exists():
        raise UserError(
            f"the folder {root} already exists",
            fix=f"choose another name, or another folder with {option('output')}",
        )
    source, tests = root / "src" / module, root / "tests"
    title = module.replace("_", "-")
    own = {kind: f"{class_name}{kind.title()}" for kind in ("block", "backbone", "decoder")}
    texts = {
        root / "pyproject.toml": _text("pyproject.toml", title=title, module=module),
        root / "README.md": _text("README.md", title=title, module=module, Name=class_name),
        source / "__init__.py": _text(
            "project_init.py", title=title, module=module, Name=class_name
        ),
        root / "recipe.yaml": _recipe(
            {kind: own[kind] for kind in ("backbone", "decoder")}, module, Path("recipe.yaml")
        ),
        tests / "test_recipe.py": _text("test_recipe.py", module=module),
    }
    for kind, part_name in own.items():
        texts[source / f"{kind}.py"] = _text(f"{kind}.py", Name=part_name)
        texts[tests / f"test_{kind}.py"] = _test(kind, part_name, f"{module}.{kind}")
    commands = (
        f"cd {root.as_posix()} && pip install -e '.[dev]' && pytest",
        f"visiongarden train recipe.yaml --import {module} data.path=my_images",
    )
    return Created(_write(texts), commands)


def _test(kind: str, class_name: str, module: str) -> str:
    if kind not in _TEST_ARGUMENTS:
        article = "an" if kind[0] in "aeiou" else "a"
        return _text(
            "test_component.py", Name=class_name, module=module, kind=kind, article=article
        )
    inputs, arguments = _TEST_ARGUMENTS[kind]
    lines = "".join(f"\n        {argument}," for argument in arguments)
    own = {"Name": class_name, "module": module, "inputs": inputs, "arguments": lines}
    if kind not in _TEST_PARTS:
        return _text("test_layer.py", **own)
    part = f"{class_name}({', '.join(arguments)})"
    return _text("test_part.py", **own, **_TEST_PARTS | {kind: part})


def _as_yaml(line: str) -> str:
    """Return an override as it is written in a recipe: `a: {b: value}`."""
    path, _, value = line.partition("=")
    *outer, last = path.split(".")
    value = f"{last}: {value}"
    for step in reversed(outer):
        value = f"{step}: {{{value}}}"
    return value


def _recipe(own: Mapping[str, str], module: str, path: Path) -> str:
    return _text("recipe.yaml", **(_RECIPE_PARTS | dict(own)), module=module, file=path.as_posix())


def _text(template: str, **values: str) -> str:
    source = files(__package__).joinpath("templates", f"{template}.txt").read_text("utf-8")
    return Template(source).substitute(values)


def _write(texts: Mapping[Path, str]) -> tuple[Path, ...]:
    """Write all files, or none if one of them exists or an error occurs."""
    for path in texts:
        if path.exists() or path.is_symlink():
            raise UserError(
                f"the file {path} already exists and is not overwritten",
                fix=f"choose another name, or another folder with {option('output')}",
            )
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x" fails if another process has created the file since the check above.
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return tuple(texts)
