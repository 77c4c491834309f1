"""The public surface changes deliberately, and commands and functions have the same arguments."""

import difflib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.public_surface import FILE

import visiongarden as vg
from visiongarden.cli.app import app

ROOT = Path(__file__).parents[1]

# Options that present or prepare: a Python session has other means.
ONLY_COMMAND = {"as_json", "imports", "quiet", "verbose", "debug", "help"}
VERBS = {
    "train": (vg.train, {"overrides"}),
    "evaluate": (vg.evaluate, set()),
    "predict": (vg.predict, {"output", "masks"}),
    "export": (vg.export, {"output"}),
    "transfer": (vg.transfer, set()),
    "prove-resume": (vg.prove_resume, {"overrides"}),
    "check": (vg.check, {"arguments"}),
    "lint": (vg.lint, set()),
    "verify": (vg.verify, {"all"}),
    "show": (vg.show, {"output"}),
    "diff": (vg.diff, set()),
    "repeats": (vg.repeats, {"output"}),
    "data check": (vg.data.check, {"fix", "keep_background", "crowds_as_objects"}),
    "data convert": (vg.data.convert, set()),
    "data show": (vg.data.show, {"overrides"}),
}
"""Function of each command, and arguments that the function does not have under this name."""


def test_the_public_surface_is_the_recorded_one():
    # In a separate process, because the schema contains parts that other tests register.
    command = [sys.executable, "-m", "tests.public_surface"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = FILE.read_text(encoding="utf-8").splitlines()
    changes = list(
        difflib.unified_diff(expected, found.splitlines(), "recorded", "now", lineterm="", n=0)
    )
    assert not changes, "\n".join([*changes, "if intended: python -m tests.public_surface --write"])


def command_of(name):
    command = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    return command


@pytest.mark.parametrize("name", VERBS)
def test_a_command_has_the_arguments_of_its_function(name):
    function, own = VERBS[name]
    parameters = inspect.signature(function).parameters
    for param in command_of(name).params:
        if param.name in ONLY_COMMAND | own:
            continue
        assert param.name in parameters, param.name
        default = parameters[param.name].default
        # A command has a default where a file must be written, and a flag is never None.
        if default is not inspect.Parameter.empty and param.name != "output":
            shown = param.default if param.default is not None else default
            assert shown == default or (not param.default and not default), param.name
