"""Shell completion: commands, options and values, without the import of a backend."""

import io
import os
import subprocess
import sys

import pytest
import typer

import visiongarden as vg
from visiongarden.cli import completion
from visiongarden.cli.entry import app
from visiongarden.data.readers import Reader
from visiongarden.data.writers import Writer


def completed(monkeypatch, *words):
    """Return what bash receives for the last one of `words`."""
    environment = {
        "_VISIONGARDEN_COMPLETE": "complete_bash",
        "COMP_WORDS": "visiongarden " + " ".join(words),
        "COMP_CWORD": str(len(words)),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    with pytest.raises((SystemExit, typer.Exit)):
        app([], prog_name="visiongarden", standalone_mode=False)
    return printed.getvalue().split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ev"], ["evaluate"]),
        (["recipe", "s"], ["show", "schema"]),
        (["train", "data", "--read"], ["--reader"]),
        (["train", "--task", "seg"], ["segmentation"]),
        (["data", "convert", "a", "b", "--format", "y"], ["yolo"]),
        (["verify", "yolox-s"], ["yolox-s"]),
        (["train", "data", "training.ep"], ["training.epochs="]),
        (["train", "data", "task=seg"], ["task=segmentation"]),
        (["train", "data", "model.head.type=Du"], ["model.head.type=DualAssignment"]),
        # As bash breaks the words.
        (["train", "data", "model.head.type", "=", "Du"], ["DualAssignment"]),
        (["train", "data", "task", "="], completion.task_names()),
    ],
)
def test_completion(monkeypatch, words, expected):
    assert completed(monkeypatch, *words) == expected


def test_the_values_are_those_of_the_library():
    assert completion.cards("") == sorted(vg.cards.names(), key=completion.cards("").index)
    assert set(completion.cards("")) == set(vg.cards.names())
    assert completion.exported("heads") == vg.heads.__all__
    assert vg.scaffold.CREATED == completion.CREATED
    tasks = vg.tasks.Task.by_name()
    own = {name for name in tasks if tasks[name].__module__.startswith("visiongarden.")}
    assert set(completion.task_names()) == own
    own = {f for f, kind in Writer.by_name().items() if kind.__module__.startswith("visiongarden.")}
    assert set(completion.written_formats("")) == own
    own = {n for n, kind in Reader.kinds().items() if kind.__module__.startswith("visiongarden.")}
    assert set(completion.readers("")) == {"auto", *own}


def test_completion_imports_no_backend():
    code = (
        "import sys\nfrom visiongarden.cli import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print(sorted({'keras', 'numpy', 'cv2', 'yaml', 'rich'} & set(sys.modules)))"
    )
    environment = os.environ | {
        "_VISIONGARDEN_COMPLETE": "complete_bash",
        "COMP_WORDS": "visiongarden train data model.card=yolox-n",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["model.card=yolox-nano", "[]"]
