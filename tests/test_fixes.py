"""Every `fix` of an error works when pasted: commands parse, options, fields and names exist.

A fix is an expression in the source. Its literal parts are checked here: commands against the real
command line, overrides against the recipe's schema, keyword arguments and names against the
package. A fix that is composed elsewhere must name the test that applies it.
"""

import ast
import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import typer

import visiongarden as vg
from visiongarden.cli.entry import app
from visiongarden.errors import UserError, nearest, on_command_line, option

SOURCE = Path(vg.__file__).parent
ROOT = SOURCE.parent.parent
OPEN = "PLACEHOLDER"

TESTED_BY = {
    "registration(kind)": "tests/config/test_unregistered.py",
    # Fixes that are composed elsewhere -> the test that applies them.
    "similar(file)": "tests/storage/test_missing.py",
    "similar(path)": "tests/recipes/test_initial_weights.py",
    "similar(Path(path))": "tests/storage/test_missing.py",
    "' or '.join((str(path / name) for name in names[:3])) or None": (
        "tests/storage/test_missing.py"
    ),
    "_fix(matched, share, other)": (
        "tests/test_fixes.py::test_a_share_that_is_too_high_names_one_that_works"
    ),
    "_fix(longest, step)": "tests/cli/test_data.py",
    "_levels_fix(taker, wants, giver, offered)": "tests/parts/test_connect.py",
    "_own_size(model)": "tests/exporters/test_onnx.py",
    "fix(chosen.layout)": "tests/recipes/test_images_of_runs.py",
    "_short_fix(step)": "tests/darknet/test_weights.py",
    "finding.advice or None": "tests/recipes/test_loss_check.py",
    "_fix(head.fitting_anchors(sides, levels))": "tests/training/test_anchor_sizes.py",
    "error.fix": "tests/cards/test_cards.py",
    "self.with_fields(**changes)": "tests/parts/test_connect.py",
    "self.with_fields(levels=has)": "tests/parts/test_connect.py",
    "self.with_fields(num_classes=len(class_map))": "tests/parts/test_connect.py",
    "head.with_fields(levels=tuple((lv for lv in wanted if lv not in missing)))": (
        "tests/models/test_multi_head.py"
    ),
    "self.with_fields(levels=tuple((lv for lv in offered if stride_of(lv) >= STRIDE)))": (
        "tests/heads/test_prototype_masks.py"
    ),
    "versions.requirements([library])": "tests/backends/test_assumptions.py",
    "next(iter(missing.values()))": "tests/tasks/test_custom_tasks.py",
    "self._fix": "tests/config/test_value.py",
    "tool.fix": "tests/data/test_other_tools.py",
    "suggestion or 'GatedUnit'": "tests/scaffold/test_new.py",
    "text[:16]": "tests/scaffold/test_new.py",
    "ALTERNATIVES.get(kind, 'use other keras.ops in the call() of this layer')": (
        "tests/exporters/test_operations.py"
    ),
    "f'use self.{unused[0]} in call(), or create it only where it is needed' + "
    "self._other_tensors(more_shapes)": "tests/layers/test_composite.py",
    "fix if fix and all((step.isidentifier() for step in fix.split('.'))) else None": (
        "tests/testing/test_check.py"
    ),
    "command(folder, output=_next_free(folder))": "tests/recipes/test_run_folder.py",
    "f'{close[0]}={section.options[option]}' if close else delete": (
        "tests/darknet/test_options.py"
    ),
    "call.format(_EXAMPLE)": "tests/weights/test_prove.py",
    "str([high, low])": "tests/transforms/test_geometry.py",
}
"""Variables named `fix` are resolved in the function that sets them."""


TREES = {}
"""Function -> the syntax tree of its file."""


def fixes():
    """Return (file, enclosing function, expression) of every `fix=` in the source."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text()
        if "fix=" not in text:
            continue
        tree = ast.parse(text)
        for node, around in nodes_in_functions(tree, tree):
            for keyword in node.keywords if isinstance(node, ast.Call) else []:
                if keyword.arg == "fix":
                    TREES[id(around)] = tree
                    found.append((file, around, keyword.value))
    return found


def nodes_in_functions(node, around):
    """Yield each node below one with the innermost function that contains it."""
    waiting = [(node, around)]
    while waiting:
        node, around = waiting.pop()
        within = node if isinstance(node, ast.FunctionDef) else around
        for child in ast.iter_child_nodes(node):
            yield child, within
            waiting.append((child, within))


FIXES = fixes()
IDS = [f"{file.relative_to(SOURCE)}:{e.lineno}" for file, _, e in FIXES]


def texts(expression, around):
    """Return the possible texts of an expression, with a placeholder for each value."""
    if isinstance(expression, ast.Constant):
        return [expression.value] if isinstance(expression.value, str) else []
    if isinstance(expression, ast.JoinedStr):
        parts = [
            p.value if isinstance(p, ast.Constant) else _part(p.value) for p in expression.values
        ]
        return ["".join(parts)]
    if isinstance(expression, ast.IfExp):
        return texts(expression.body, around) + texts(expression.orelse, around)
    if isinstance(expression, ast.BoolOp):
        return [text for value in expression.values for text in texts(value, around)]
    if isinstance(expression, ast.BinOp):
        sides = (texts(side, around) for side in (expression.left, expression.right))
        return ["".join(pair) for pair in itertools.product(*sides)]
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "option":
        return [_part(expression)]
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "as_override":
        return [path + "=" + OPEN for path in texts(expression.args[0], around)]
    if isinstance(expression, ast.Call):
        return _texts_of_call(expression, around)
    if isinstance(expression, ast.Name):
        nodes = [n for n in ast.walk(around) if isinstance(n, (ast.Assign, ast.AugAssign))]
        values = [n.value for n in nodes if expression.id in _targets(n)]
        return [text for value in values for text in texts(value, around)]
    return []


def _texts_of_call(call, around):
    """Return the texts that a function of the same file returns, or that are joined."""
    name = ast.unparse(call.func)
    if name.endswith(".join") and isinstance(call.args[0], ast.GeneratorExp):
        return texts(call.args[0].elt, around)
    tree, found = TREES[id(around)], []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == name:
            TREES[id(function)] = tree
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    found += texts(node.value, function)
    return found


def _targets(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [ast.unparse(target) for target in targets]


def _part(value):
    """Return the placeholder of a value; `option(...)` is an option of the command line."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "option":
        name = value.args[0].value
        flag = f"--{name.replace('_', '-')}"
        alone = len(value.args) < 2 or getattr(value.args[1], "value", None) is True
        return flag if alone else f"{flag} {OPEN}"
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "command":
        return "visiongarden train recipe.yaml --output runs/run"
    return OPEN


def commands():
    """Return name -> click command of every command, including groups: "data check"."""
    found = {}

    def walk(command, name):
        for key, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {key}".strip())
        if not getattr(command, "commands", {}):
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()
OPTIONS = {name for c in COMMANDS.values() for p in c.params for name in p.opts}


def parses(line):
    """Check that a command line parses; nothing is run."""
    words = shlex.split(line.split("  #")[0], comments=False)[1:]
    name = next((n for n in sorted(COMMANDS, key=len, reverse=True)
                 if words[: len(n.split())] == n.split()), None)  # fmt: skip
    assert name is not None, line
    rest = words[len(name.split()) :]
    with COMMANDS[name].make_context(name, rest, resilient_parsing=False):
        pass


@pytest.mark.parametrize(("file", "around", "expression"), FIXES, ids=IDS)
def test_a_fix_contains_existing_names(file, around, expression):
    written = ast.unparse(expression)
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "nearest":
        return  # the names that are valid; see below
    found = texts(expression, around)
    if not found:
        assert written in TESTED_BY or isinstance(expression, ast.Name), (
            f"{written} is composed elsewhere: name the test that applies it in TESTED_BY"
        )
    for text in found:
        check(text)


def check(text):
    for line in re.findall(r"visiongarden [a-z-]+[^;,\n]*", text):
        line = re.sub(r" (lists|shows|and|if|where) .*", "", line)
        parses(line.replace(OPEN, "given").rstrip(" )"))
    outside = re.sub(r"visiongarden [a-z-]+[^;,\n]*", "", text)
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", outside):
        assert flag in OPTIONS | {"--import", "--debug"}, f"no command has {flag}: {text}"
    for extra in re.findall(r"visiongarden\[([\w,-]+)\]", text):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        known = set(project["optional-dependencies"])
        assert set(extra.split(",")) - {OPEN} <= known, f"no extra {extra}"
    for field in re.findall(r"\b((?:training|data|transforms|model)\.[a-z_.]+)=", text):
        assert resolves(field), f"a recipe has no field {field}"
    for name in re.findall(r"\bvg\.([a-zA-Z_.]+)", text):
        thing = vg
        for step in name.rstrip(".").split("."):
            thing = getattr(thing, step)
    for name in re.findall(r"(?<![\w.\"'/=])([a-z_]+)=(?=[\[(\"'\dTF])", outside):
        assert name in keywords(), f"nothing takes {name}=: {text}"


def resolves(path):
    from visiongarden.recipes import Recipe
    from visiongarden.transforms import Transform

    first, *steps = path.split(".")
    kinds = [Recipe.model_fields[first].annotation]
    if first == "transforms":
        kinds = [Transform.kinds()[steps.pop(0)]]
    for step in steps:
        kinds = [part for kind in kinds for part in (get_args(kind) or (kind,))]
        kinds = [kind for kind in kinds if isinstance(kind, type)]
        kinds = [k.model_fields[step].annotation for k in kinds if step in k.model_fields]
    return bool(kinds)


_KEYWORDS = set()


def keywords():
    """Return the names of all arguments and fields in the source of the package."""
    if not _KEYWORDS:
        for file in SOURCE.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.arg):
                    _KEYWORDS.add(node.arg)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    _KEYWORDS.add(node.target.id)
        # Options of a Darknet cfg, and arguments of Keras's, PyTorch's and Python's own functions.
        _KEYWORDS.update(("width", "height", "layers", "include_top", "weights_only"))
        # Arguments of NumPy's, tifffile's and TensorFlow Datasets' functions.
        _KEYWORDS.update(("posinf", "neginf", "planarconfig", "photometric", "file_format"))
    return _KEYWORDS


def test_fixes_that_are_composed_elsewhere_have_a_test():
    written = {ast.unparse(expression) for _, _, expression in FIXES}
    assert set(TESTED_BY) <= written, "no longer in the source"
    for place in TESTED_BY.values():
        file, _, name = place.partition("::")
        assert (ROOT / file).exists(), place
        assert not name or f"def {name}(" in (ROOT / file).read_text(), place


@pytest.mark.parametrize("text", [
    "visiongarden train data --split val",
    "visiongarden nothing",
    "--no-such-option 3",
    "training.no_such_field=3",
    "vg.no_such_name()",
    "no_such_argument=3",
    'pip install "visiongarden[no_such_extra]"',
])  # fmt: skip
def test_an_invalid_fix_is_found(text):
    usage = typer.BadParameter.__mro__[1]  # the base class of usage errors
    with pytest.raises((AssertionError, AttributeError, usage)):
        check(text)


def test_the_nearest_names_are_proposed():
    assert nearest("colunm", ("column", "row")).startswith("did you mean column?")
    assert nearest("zzz", ("column", "row")) == "valid: column, row"
    assert nearest("zzz", ()) == ""


def test_options_are_named_as_the_user_writes_them():
    assert option("min_coverage", 0.5) == "min_coverage=0.5"
    assert option("class_names", "model") == "class_names='model'"
    assert option("resume") == "resume"
    with on_command_line():
        assert option("min_coverage", 0.5) == "--min-coverage 0.5"
        assert option("output", "my runs/a") == "--output 'my runs/a'"
        assert option("resume", True) == "--resume"
    assert option("min_coverage") == "min_coverage"


def test_library_errors_do_not_name_options_to_users_of_python():
    """An option is named beside its Python argument, or by `option`."""
    for file, around, expression in FIXES:
        parts = file.relative_to(SOURCE).parts
        for node in ast.walk(expression):
            if "cli" in parts or not isinstance(getattr(node, "value", None), str):
                continue
            text = " ".join(texts(expression, around)) + " " + str(node.value)
            if re.search(r"(?<![\w-])--[a-z]", node.value):
                both = "on the command line" in text or "visiongarden " in text
                assert both or node.value in ONLY_ON_THE_COMMAND_LINE, (file.name, node.value)


ONLY_ON_THE_COMMAND_LINE = {
    "--rename model.0=backbone/stem",  # `rules` reads the texts of that option
    "--output blocks.py",
}


def dense(units):
    import keras

    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(units, name="second")(x))


def test_a_share_that_is_too_high_names_one_that_works():
    from visiongarden.weights import transfer

    source, target = dense(4), dense(5)
    with pytest.raises(UserError) as error:
        transfer(source, target)
    report = transfer(source, target, **eval(f"dict({error.value.fix})"))  # noqa: S307
    assert len(report.copied) == 2

    with pytest.raises(UserError) as error, on_command_line():
        transfer(source, target)
    assert re.fullmatch(r"--min-coverage 0\.\d+", error.value.fix)


def test_a_rename_that_is_proposed_works():
    import keras

    from visiongarden.weights import transfer

    source = dense(4)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="one")(inputs)
    target = keras.Model(inputs, keras.layers.Dense(4, name="second")(x))
    with pytest.raises(UserError) as error:
        transfer(source, target)
    options = eval(f"dict({error.value.fix})")  # noqa: S307
    assert transfer(source, target, **options).share_of_target == 1


def test_the_name_that_save_proposes_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = vg.heads.Classification(num_classes=2)
    model = vg.Classifier(vg.backbones.ResNet(depth=18, levels=("p5",)), head, image_size=32)
    with pytest.raises(UserError) as error:
        model.save("m.h5")
    eval(error.value.fix, {"model": model})  # noqa: S307
    assert (tmp_path / "m.keras").is_file()


def test_the_format_that_is_proposed_is_read(tmp_path):
    """For a folder in YOLO and COCO format the fix names both, and each is read."""
    import cv2
    import numpy as np

    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images" / "train" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [a]\n")
    (tmp_path / "train.json").write_text(
        '{"images": [{"id": 1, "file_name": "train/a.png", "height": 8, "width": 8}], '
        '"annotations": [], "categories": [{"id": 1, "name": "a"}]}'
    )
    with pytest.raises(UserError, match=r"the format of .* cannot be determined") as error:
        vg.data.read(tmp_path)
    proposed = [
        dict([part.split("=")])["reader"].strip("'") for part in error.value.fix.split(" or ")
    ]
    assert proposed == ["COCO", "YOLO"]
    for name in proposed:
        assert len(vg.data.read(tmp_path, reader=name)) == 1


def test_a_missing_split_is_named_by_the_field_that_chooses_it(tmp_path):
    import cv2
    import numpy as np

    from visiongarden.recipes import resolve
    from visiongarden.recipes.splits import read_split

    for split in ("train", "other"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "0.png"), np.zeros((8, 8, 3), np.uint8))
    recipe = resolve(tmp_path / "set", reader="ClassFolders")
    with pytest.raises(UserError, match="no split 'val'") as error:
        read_split(recipe.kind, recipe.data, "val")
    recipe = resolve(tmp_path / "set", reader="ClassFolders", overrides=[error.value.fix])
    assert len(read_split(recipe.kind, recipe.data, "val")) == 2
