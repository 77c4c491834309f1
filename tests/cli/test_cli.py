"""The command line: its options, output and exit codes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from visiongarden.cli.commands import app
from visiongarden.cli.entry import main
from visiongarden.errors import UserError
from visiongarden.training import Stopped

COMMANDS = [
    "new", "list", "check", "lint", "models", "verify", "show", "diff", "repeats",
    "data check", "data convert", "data show",
    "demo", "recipe show", "recipe schema", "recipe diff", "transfer", "train",
    "prove-resume", "evaluate", "predict",
    "export", "import-darknet", "export-darknet",
]  # fmt: skip
"""All commands, in the order in which the help lists them."""

WITH_PROGRESS = (
    "check", "verify", "repeats", "data check", "data convert", "demo", "transfer", "train",
    "prove-resume", "evaluate", "predict", "export", "import-darknet", "export-darknet",
)  # fmt: skip
WITH_JSON = (
    "list", "check", "lint", "models", "verify", "show", "diff", "repeats", "data check",
    "recipe diff", "transfer", "train", "prove-resume", "evaluate", "predict", "export",
)  # fmt: skip


def every_command(group, before=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_options():
    """`tests/public_surface.txt` holds all of them; these are the same for every command."""
    commands = dict(every_command(typer.main.get_command(app)))
    assert set(commands) == set(COMMANDS)
    options = {
        name: {
            option for param in command.params for option in (*param.opts, *param.secondary_opts)
        }
        for name, command in commands.items()
    }
    assert all("--debug" in options[name] for name in COMMANDS)
    assert all({"--quiet", "-q", "--verbose", "-v"} <= options[name] for name in WITH_PROGRESS)
    assert all("--json" in options[name] for name in WITH_JSON)
    assert not {"--into", "--write", "--html", "--set"} & set().union(*options.values())


def test_the_help_lists_every_command_in_its_panel_and_the_exit_codes(capsys):
    assert run("--help") == 0
    sections = capsys.readouterr().out.split("\n\n")
    listed = {
        section.partition(":")[0]: [line[2:].partition("  ")[0] for line in lines]
        for section in sections
        if (lines := section.splitlines()[1:])
    }
    panels = ("Build", "Data", "Train and evaluate", "Deploy")
    assert [name for panel in panels for name in listed[panel]] == COMMANDS
    codes = next(section for section in sections if section.startswith("Exit codes:"))
    assert [line.split()[0] for line in codes.splitlines()[1:]] == [
        "0",
        "1",
        "2",
        "70",
        "130",
        "143",
    ]


def test_help_texts_are_complete_in_one_line(capsys):
    commands = dict(every_command(typer.main.get_command(app)))
    for name, command in commands.items():
        first = command.help.partition("\n\n")[0]
        assert len(first) <= 60, name
        for param in command.params:
            assert param.help, (name, param.name)
            assert len(param.help) <= 60, (name, param.name)
    for group in ((), ("data",), ("recipe",)):
        assert run(*group, "--help") == 0
        assert "..." not in capsys.readouterr().out.replace("[ARGS]...", "")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_help_imports_no_backend():
    code = (
        "import sys\nfrom visiongarden.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'cv2', 'matplotlib', 'grain', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("command", "target", "arguments", "passed", "named"),
    [
        ("demo", "recipes.demo", ["--seed", "3"], (Path("runs/demo"), 3), {}),
        (
            "evaluate",
            "evaluation.evaluate",
            ["m.keras", "data", "--split", "test"],
            (Path("m.keras"), Path("data")),
            {
                "split": "test",
                "reader": "auto",
                "invalid_boxes": "error",
                "batch_size": 16,
                "precision": None,
                "class_names": None,
                "channels": "auto",
            },
        ),
        (
            "export",
            "exporters.export",
            ["m.keras"],
            (Path("m.keras"), None),
            {"format": "onnx", "image_size": None},
        ),
        (
            "show",
            "recipes.show",
            ["m.keras", "--image-size", "64"],
            (Path("m.keras"),),
            {"image_size": 64},
        ),
        (
            "diff",
            "recipes.diff",
            ["a.yaml", "b.keras"],
            (Path("a.yaml"), Path("b.keras")),
            {"image_size": None},
        ),
        (
            "transfer",
            "weights.transfer",
            ["w.pt", "m.keras", "--output", "o.keras", "--rename", "a=b", "--min-coverage", "0.5"],
            (Path("w.pt"), Path("m.keras")),
            {
                "output": Path("o.keras"),
                "rules": "auto",
                "rename": {"a": "b"},
                "only": None,
                "min_coverage": 0.5,
                "layout": "auto",
                "class_rows": "name",
                "state_dict": None,
                "prove": None,
                "tolerance": 1e-4,
            },
        ),
        ("new", "scaffold.new", ["block", "unit"], ("block", "unit", Path()), {"task": None}),
    ],
)
def test_a_command_is_one_call(monkeypatch, command, target, arguments, passed, named):
    calls = []

    class Answer(tuple):
        files = commands = ()
        same, proof = True, None

        def __truediv__(self, name):
            return name

    def called(*given, **options):
        calls.append((given, options))
        return Answer((1, 2))

    capacity, name = target.split(".")
    monkeypatch.setattr(f"visiongarden.{capacity}.{name}", called)
    assert run(command, *arguments) == 0
    assert calls == [(passed, named)]


@pytest.mark.parametrize(("complete", "code"), [(True, 0), (False, 1)])
def test_predict_is_one_call(monkeypatch, capsys, complete, code):
    results = SimpleNamespace(
        folder=Path("predictions"),
        summary="3 objects in 2 images",
        interrupted=False,
        to_dict=dict,
        skipped=() if complete else ("b.jpg",),
        total=2,
        files=2 if complete else 1,
        complete=complete,
    )
    calls = []
    monkeypatch.setattr(
        "visiongarden.reporting.predict_folder", lambda *given: calls.append(given) or results
    )
    assert run("predict", "m.keras", "a.jpg", "b.jpg", "--score", "0.5") == code
    images = [Path("a.jpg"), Path("b.jpg")]
    assert calls[0][:4] == (Path("m.keras"), images, Path("predictions"), 0.5)
    printed = capsys.readouterr()
    assert printed.out == "predictions: 3 objects in 2 images\n"
    assert printed.err == ("" if complete else "warning: 1 of 2 images were skipped\n")


@pytest.mark.parametrize("arguments", [[], ["--resume"], ["--output", "x"]])
def test_train_is_one_call(monkeypatch, capsys, arguments):
    calls = []
    monkeypatch.setattr(
        "visiongarden.recipes.train", lambda *given, **named: calls.append((given, named))
    )
    assert run("train", "data", "a.b=1", "c=2", "--reader", "VOC", *arguments) == 0
    given, named = calls[0]
    assert given == ("data", "a.b=1", "c=2")
    assert named == {
        "output": Path("x") if "--output" in arguments else None,
        "resume": "--resume" in arguments,
        "accept_changes": False,
        "reader": "VOC",
        "task": None,
        "invalid_boxes": None,
        "weights": None,
        "devices": None,
    }


def test_a_run_is_extended_without_naming_its_recipe(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr("visiongarden.recipes.train", lambda *given, **named: calls.append(given))
    assert run("train", "--resume", "training.epochs=120", "--output", "x") == 0
    assert calls == [(Path("x"), "training.epochs=120")]
    assert run("train", "--resume", "training.epochs=120") == 2
    assert "there is no run to resume in runs" in capsys.readouterr().err
    for name, time in (("first", 2), ("second", 1)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        for file in ("recipe.yaml", "environment.json"):
            (folder / file).touch()
            os.utime(folder / file, (time, time))
    assert run("train", "--resume", "training.epochs=120") == 0
    assert calls[1:] == [(Path("runs/first"), "training.epochs=120")]
    assert run("train") == 2
    assert "no dataset is named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (UserError("no", rule="yes [a]", fix="[bold]so"), 2, ["error: no", "[bold]so"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (typer.Abort(), 130, []),
        (ZeroDivisionError("by zero"), 70, ["bug in", "ZeroDivisionError: by zero", "--debug"]),
        (PermissionError(13, "Permission denied", "a.png"), 2, ["a.png: Permission denied"]),
        (ModuleNotFoundError("no onnx", name="onnx"), 2, ["visiongarden[export]"]),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, expected):
    def fails(*_, **options):
        raise error

    monkeypatch.setattr("visiongarden.recipes.show", fails)
    assert run("show", "m.keras") == code
    printed = capsys.readouterr().err
    assert all(text in printed for text in expected)
    assert "Traceback" not in printed
    if code in (70, 2):
        assert run("show", "m.keras", "--debug") == code
        assert "Traceback" in capsys.readouterr().err


def test_a_run_that_a_system_stops_has_its_own_code(monkeypatch, capsys):
    def stopped(*_, **options):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("visiongarden.recipes.train", stopped)
    assert run("train", "set") == 143
    printed = capsys.readouterr().err
    assert "stopped by SIGTERM" in printed
    assert "interrupted" not in printed


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train"], ["show", "a", "--nonsense"], ["predict", "a", "b", "--score", "2"]],
)
def test_wrong_usage_is_2(capsys, arguments):
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_argument_of_check_without_a_value(capsys):
    assert run("check", "my_blocks:Mine", "nonsense") == 2
    printed = capsys.readouterr().err
    assert "'nonsense' is not path=value" in printed
    assert printed.endswith("fix: filters=8\n")


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("visiongarden 0.")


def test_import_finds_the_working_directory(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_own_parts.py").write_text("LOADED = True")
    (tmp_path / "broken_parts.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != os.fspath(tmp_path)])
    monkeypatch.setattr("visiongarden.recipes.show", lambda *_, **options: "shown")
    assert run("show", "m.keras", "--import", "my_own_parts") == 0
    assert "my_own_parts" in sys.modules
    assert run("show", "m.keras", "--import", "no_such_parts") == 2
    assert "module no_such_parts cannot be imported" in capsys.readouterr().err
    assert run("show", "m.keras", "--import", "broken_parts") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
