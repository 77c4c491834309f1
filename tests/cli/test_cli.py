"""The command line: its options, output and exit codes."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from visiongarden.cli.commands import app
from visiongarden.cli.entry import main
from visiongarden.errors import UserError

SURFACE = {
    "data check": {
        "source",
        "--format",
        "--invalid-boxes",
        "--image-size",
        "--stride",
        "--fix",
        "--keep-background",
        "--crowds-as-objects",
        "--one-based",
        "--output",
        "--debug",
    },
    "data convert": {
        "source",
        "target",
        "--format",
        "--to",
        "--invalid-boxes",
        "--one-based",
        "--debug",
    },
    "data show": {
        "source",
        "--format",
        "--invalid-boxes",
        "--image-size",
        "--split",
        "--recipe",
        "--set",
        "--plain",
        "--count",
        "--columns",
        "--seed",
        "--output",
        "--debug",
    },
    "demo": {"--output", "--seed", "--debug"},
    "train": {
        "source",
        "overrides",
        "--format",
        "--output",
        "--resume",
        "--accept-changes",
        "--invalid-boxes",
        "--task",
        "--import",
        "--debug",
    },
    "config schema": {"--import", "--debug"},
    "config show": {
        "source",
        "overrides",
        "--format",
        "--invalid-boxes",
        "--task",
        "--import",
        "--debug",
    },
    "recipe diff": {"a", "b", "--import", "--debug"},
    "verify": {"source", "factory", "--all", "--import", "--debug"},
    "models": {"--task", "--json", "--markdown", "--debug"},
    "eval": {
        "model",
        "data",
        "--format",
        "--split",
        "--invalid-boxes",
        "--batch-size",
        "--class-names",
        "--import",
        "--debug",
    },
    "predict": {"model", "images", "--output", "--score", "--import", "--debug"},
    "export": {"model", "--format", "--output", "--image-size", "--import", "--debug"},
    "transfer": {
        "source",
        "target",
        "--output",
        "--rename",
        "--min-coverage",
        "--class-rows",
        "--layout",
        "--import",
        "--debug",
    },
    "diff": {"before", "after", "--image-size", "--json", "--import", "--debug"},
    "new": {"kind", "name", "--into", "--debug"},
    "check": {
        "target",
        "arguments",
        "--backends",
        "--inputs",
        "--skip",
        "--json",
        "--debug",
    },
    "lint": {"files", "--debug"},
    "show": {"source", "--image-size", "--html", "--json", "--import", "--debug"},
    "repeats": {"source", "--write", "--json", "--import", "--debug"},
    "import-darknet": {"cfg", "weights", "--output", "--names", "--as-parts", "--debug"},
    "export-darknet": {"model", "cfg", "weights", "--image-size", "--import", "--debug"},
}


def every_command(group, before=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_options():
    commands = dict(every_command(typer.main.get_command(app)))
    found = {
        name: {
            p.name if p.param_type_name == "argument" else p.opts[0]
            for p in command.params
            if p.name != "help"
        }
        for name, command in commands.items()
    }
    assert found == SURFACE
    assert all(command.help for command in commands.values())


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
    ("command", "target", "arguments", "passed"),
    [
        ("demo", "recipes.demo", ["--seed", "3"], (Path("runs/demo"), 3)),
        (
            "eval",
            "evaluation.evaluate_file",
            ["m.keras", "data", "--split", "test"],
            (Path("m.keras"), Path("data"), "auto", "test", "error", 16, None),
        ),
        ("export", "exporters.export_file", ["m.keras"], (Path("m.keras"), None, "onnx", None)),
        ("show", "recipes.show", ["m.keras", "--image-size", "64"], (Path("m.keras"), 64)),
        ("diff", "recipes.diff", ["a.yaml", "b.keras"], (Path("a.yaml"), Path("b.keras"), None)),
        (
            "transfer",
            "weights.transfer_file",
            ["w.pt", "m.keras", "--output", "o.keras", "--rename", "a=b", "--min-coverage", "0.5"],
            (Path("w.pt"), Path("m.keras"), Path("o.keras"), {"a": "b"}, 0.5, "auto", "name"),
        ),
        ("new", "scaffold.new", ["block", "unit"], ("block", "unit", Path())),
    ],
)
def test_a_command_is_one_call(monkeypatch, command, target, arguments, passed):
    calls = []

    class Answer(tuple):
        files = commands = ()

        def __truediv__(self, name):
            return name

    def called(*given):
        calls.append(given)
        return Answer((1, 2))

    capacity, name = target.split(".")
    monkeypatch.setattr(f"visiongarden.{capacity}.{name}", called)
    assert run(command, *arguments) == 0
    assert calls == [passed]


@pytest.mark.parametrize(("complete", "code"), [(True, 0), (False, 1)])
def test_predict_is_one_call(monkeypatch, capsys, complete, code):
    results = SimpleNamespace(
        folder=Path("predictions"),
        summary="3 objects in 2 images",
        interrupted=False,
        skipped=() if complete else ("b.jpg",),
        total=2,
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
def test_train_resolves_and_trains(monkeypatch, tmp_path, arguments):
    monkeypatch.setattr("visiongarden.recipes.resolve", lambda *given: ("recipe", given))
    monkeypatch.setattr(
        "visiongarden.recipes.train", lambda *given: calls.append(given) or tmp_path
    )
    calls = []
    assert run("train", "data", "a.b=1", "c=2", "--format", "voc", *arguments) == 0
    recipe, output, resume, accept_changes = calls[0]
    assert not accept_changes
    assert recipe == ("recipe", ("data", "voc", None, ["a.b=1", "c=2"], None))
    assert resume == ("--resume" in arguments)
    assert output == (Path("x") if "--output" in arguments else None)


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (UserError("no", rule="yes [a]", fix="[bold]so"), 2, ["error: no", "[bold]so"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (typer.Abort(), 130, []),
        (ZeroDivisionError("by zero"), 1, ["bug in", "ZeroDivisionError: by zero", "--debug"]),
        (PermissionError(13, "Permission denied", "a.png"), 2, ["a.png: Permission denied"]),
        (ModuleNotFoundError("no onnx", name="onnx"), 2, ["visiongarden[export]"]),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, expected):
    def fails(*_):
        raise error

    monkeypatch.setattr("visiongarden.recipes.show", fails)
    assert run("show", "m.keras") == code
    printed = capsys.readouterr().err
    assert all(text in printed for text in expected)
    assert "Traceback" not in printed
    if code in (1, 2):
        assert run("show", "m.keras", "--debug") == code
        assert "Traceback" in capsys.readouterr().err


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
    monkeypatch.setattr("visiongarden.recipes.show", lambda *_: "shown")
    assert run("show", "m.keras", "--import", "my_own_parts") == 0
    assert "my_own_parts" in sys.modules
    assert run("show", "m.keras", "--import", "no_such_parts") == 2
    assert "module no_such_parts cannot be imported" in capsys.readouterr().err
    assert run("show", "m.keras", "--import", "broken_parts") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
