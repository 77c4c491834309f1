"""`check`: inputs, report, command, pytest plugin and error messages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tests import zoo_of_bad_layers as bad
from tests import zoo_of_valid_layers as valid

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.errors import UserError
from visiongarden.testing import CHECKS, assert_valid, cases, check, check_module, discover
from visiongarden.testing.explain import first_line
from visiongarden.types import FeatureSpec, LevelSpec

ROOT = Path(__file__).parents[2]
BLOCK = """
import keras
import visiongarden as vg

@vg.register(package="my_project")
class Mine(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", activation="gelu")

    def call(self, x):
        return self.conv(x)

@vg.register(package="my_project")
class Wrong(keras.layers.Layer):
    def call(self, x):
        return x + keras.ops.mean(x, axis=-1, keepdims=True)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "own_blocks.py").write_text(BLOCK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize(
    ("source", "inputs", "shape"),
    [
        (valid.WithDropout, None, "(3, 16, 24, 8) -> (3, 16, 24, 8)"),
        pytest.param(
            valid.WithDropout(5),
            (2, 6, 4, 3),
            "(3, 6, 4, 3) -> (3, 6, 4, 5)",
            marks=pytest.mark.slow,
        ),
        (vg.layers.Sum(), [(2, 4, 4, 2)] * 2, "(3, 4, 4, 2), (3, 4, 4, 2) -> (3, 4, 4, 2)"),
        pytest.param(
            valid.TwoInputs,
            [(2, 4, 4, 2)] * 2,
            "(3, 4, 4, 2), (3, 4, 4, 2) -> (3, 4, 4, 8)",
            marks=pytest.mark.slow,
        ),
        (valid.Words(4), np.array([[1, 2], [3, 0]]), "(2, 2) -> (2, 2, 4)"),
        (
            vg.decoders.FPN(channels=4, levels=("p3", "p4")),
            FeatureSpec({"p3": LevelSpec(2, 8), "p4": LevelSpec(5, 16)}),
            "(3, 8, 12, 2), (3, 4, 6, 5) -> (3, 8, 12, 4), (3, 4, 6, 4)",
        ),
        pytest.param(
            vg.heads.AnchorFree(num_classes=2, bins=2),
            {"p4": (2, 4, 6, 5)},
            "(3, 4, 6, 5) -> (3, 4, 6, 8), (3, 4, 6, 2)",
            marks=pytest.mark.slow,
        ),
        (
            keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Conv2D(2, 1)]),
            None,
            "(3, 4, 6, 3) -> (3, 4, 6, 2)",
        ),
    ],
)
def test_inputs(source, inputs, shape):
    report = check(source, inputs, backends=(), skip=("open_sides",))
    assert report["runs"].evidence == shape, report
    assert report.ok, report


def test_report():
    report = check(bad.BroadcastSkip, backends=(), filters=8)
    again = check(bad.BroadcastSkip, backends=(), filters=8)
    # The measured differences of rounding may vary with the places of arrays in memory.
    results = [[(f.check, f.status) for f in each.findings] for each in (report, again)]
    assert results[0] == results[1]
    of_parts = ("fields_used", "loss", "decode", "loss_decode")
    assert [f.check for f in report.findings] == [n for n in CHECKS if n not in of_parts]
    assert [f.check for f in report.failures] == ["broadcasting"]
    assert "(3, 16, 24, 8) + (3, 16, 24, 1)" in str(report)
    assert "zoo_of_bad_layers.py" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False
    rows = report.table().splitlines()[4:]
    listed = [row.split()[0] for row in rows if not row.startswith(" ")]
    assert listed == [finding.check for finding in report.findings]
    with pytest.raises(AssertionError, match=r"broadcasting: failed.*\n.*vg.layers.Sum"):
        assert_valid(bad.BroadcastSkip, backends=())
    assert check(bad.BroadcastSkip, backends=(), skip=("broadcasting",)).ok


def test_examples_of_a_class():
    class Own(keras.layers.Layer):
        examples = {"config": {"odd": 5}, "inputs": (2, 7), "skip": ["registered"]}  # noqa: RUF012

        def __init__(self, odd, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(odd)

        def call(self, x):
            return self.dense(x)

    report = check(Own, backends=())
    assert report["runs"].evidence == "(3, 7) -> (3, 5)"
    assert report.ok, report


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((int,), "int cannot be checked"),
        ((valid.WithDropout, (2, 8)), "incompatible|expected"),
        ((vg.backbones.CSPDarknet, (2, 64, 3)), "rank 3"),
        ((valid.WithDropout, "maps"), "the inputs are not valid"),
    ],
)
def test_invalid_inputs(arguments, words):
    with pytest.raises(UserError, match=words):
        check(*arguments, backends=())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filter": 8, "backends": ()}, "x"),
        ({"skip": ("gradient",)}, "did you mean gradients"),
        ({"backends": ("thenao",)}, "the backend 'thenao' is not installed"),
    ],
)
def test_invalid_options(options, words):
    if "filter" in options:
        report = check(valid.WithDropout, **options)
        assert "filter" in report["runs"].evidence
        return
    with pytest.raises(UserError, match=words):
        check(valid.WithDropout, **options)


def test_a_layer_that_fails_is_reported_on_one_line(project):
    (project / "broken_layers.py").write_text(
        "import keras\nimport visiongarden as vg\n\n"
        "@vg.register(package='broken')\n"
        "class Fails(vg.layers.Composite):\n"
        "    def __init__(self, filters, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.conv = keras.layers.Conv2D(filters, 3)\n"
        "        self.sum = vg.layers.Sum()\n\n"
        "    def call(self, x):\n"
        "        return self.sum([x, self.conv(x)])\n\n"
        "@vg.register(package='broken')\n"
        "class Odd(keras.layers.Layer):\n"
        "    def __init__(self, grammar, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.grammar = grammar\n\n"
        "    def call(self, x):\n"
        "        return x * self.grammar\n"
    )
    fails, odd = check_module("broken_layers", backends=())
    assert [f.check for f in fails.failures] == ["runs"]
    assert len(fails.findings) <= 5
    evidence = fails["runs"].evidence
    # Both shapes, and the line of the user's file, not of visiongarden's.
    assert "14" in evidence
    assert "(broken_layers.py:12)" in evidence
    assert fails["gradients"].status == "skipped"
    assert [f.check for f in odd.failures] == ["arguments"]
    assert "grammar" in odd["arguments"].evidence
    assert "grammar=..." in odd["arguments"].advice
    given = check_module("broken_layers:Odd", backends=(), config={"grammar": 2})
    assert given[0].ok, given[0]
    with pytest.raises(
        UserError, match="no class in broken_layers has a constructor argument 'gramar'"
    ):
        check_module("broken_layers", backends=(), config={"gramar": 2})


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            TypeError(
                "<class 'Mine'> could not be deserialized properly. Please ensure that components "
                "that are Python object instances (layers, models, etc.) returned by `get_config()`"
                " are explicitly deserialized in the model's `from_config()` method.\n\nconfig={}."
                "\n\nException encountered: Mine.__init__() got an unexpected keyword argument 'a'"
            ),
            "TypeError: Mine.__init__() got an unexpected keyword argument 'a'",
        ),
        (
            ValueError(
                "Exception encountered when calling Mine.call().\n\n\x1b[1mshapes (2, 3) and "
                "(4, 5) differ\x1b[0m\n\nArguments received by Mine.call():\n  • args=(1,)"
            ),
            "ValueError: shapes (2, 3) and (4, 5) differ",
        ),
        (
            RuntimeError("{{function_node __wrapped__AddV2}} Incompatible shapes: [3,4] vs. [3,5]"),
            "RuntimeError: Incompatible shapes: [3,4] vs. [3,5]",
        ),
    ],
    ids=["inner", "call", "node"],
)
def test_the_message_of_a_keras_error_is_kept(error, line):
    assert first_line(error) == line


def test_an_argument_that_cannot_be_guessed():
    class Odd(keras.layers.Layer):
        def __init__(self, grammar, **kwargs):
            super().__init__(**kwargs)

    with pytest.raises(UserError, match="the argument 'grammar' of Odd cannot be guessed"):
        check(Odd)


def test_discovery(project):
    assert [cls.__name__ for cls in discover("own_blocks")] == ["Mine", "Wrong"]
    assert [str(case) for case in cases("own_blocks:Mine", backends=())] == ["Mine"]
    assert vg.blocks.SPP in discover("visiongarden.blocks")
    assert vg.layers.Composite not in discover("visiongarden.layers")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module", "the module no_such_module cannot be imported"),
        ("own_blocks.py", "fix: own_blocks"),
        ("own_blocks:Mime", "did you mean Mine"),
        ("json", "defines no component"),
        ("broken", "ZeroDivisionError"),
    ],
)
def test_modules_that_cannot_be_checked(project, capsys, target, words):
    (project / "broken.py").write_text("1 / 0")
    assert run("check", target) == 2
    assert words in capsys.readouterr().err


def test_command(project, capsys):
    assert run("check", "own_blocks:Mine", "--backends", "none", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["subject"], report["ok"]) == ("Mine", True)
    assert run("check", "own_blocks", "--backends", "none") == 1
    output = capsys.readouterr().out
    assert "Mine: valid" in output
    assert "broadcasts" in output
    assert run("check", "own_blocks", "--backends", "none", "--skip", "broadcasting") == 0


def test_command_takes_arguments(project, capsys):
    mine = ("check", "own_blocks:Mine", "--backends", "none", "--json")
    assert run(*mine, "filters=5", "--inputs", "[2, 6, 4, 3]") == 0
    (report,) = json.loads(capsys.readouterr().out)
    (runs,) = (f for f in report["findings"] if f["check"] == "runs")
    assert runs["evidence"] == "(3, 6, 4, 3) -> (3, 6, 4, 5)"
    assert run(*mine, "filter=5") == 2
    assert "fix: did you mean filters" in capsys.readouterr().err


def test_command_prints_what_it_runs_before_a_backend_starts(monkeypatch, capsys):
    def stop(*_, **__):
        raise UserError("stopped")

    monkeypatch.setattr("visiongarden.cli.check.start", stop)
    assert run("check", "own_blocks", "--backends", "all") == 2
    assert "checking own_blocks on " in capsys.readouterr().err


@pytest.mark.slow
def test_all_backends_from_the_command_line(project, capsys):
    assert run("check", "own_blocks:Mine", "--json", "--backends", "all") == 0
    (report,) = json.loads(capsys.readouterr().out)
    found = {f["check"]: f for f in report["findings"]}
    assert {found[name]["status"] for name in ("reload", "backends", "jit", "onnx")} == {"passed"}
    assert "jax" in found["backends"]["evidence"]
    assert "torch" in found["backends"]["evidence"]


@pytest.mark.slow
def test_pytest_plugin(project):
    (project / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.visiongarden('own_blocks', backends=())\n"
        "def test_is_valid(case):\n    case.assert_valid()\n"
    )
    words = [
        "-p",
        "visiongarden.testing.plugin",
        "--strict-markers",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(project)])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "test_is_valid[Wrong]" in done.stdout
    assert "broadcasts" in done.stdout


def test_the_plugin_starts_no_backend():
    code = "import sys, visiongarden.testing.plugin\n"
    code += "print({'keras', 'numpy', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
