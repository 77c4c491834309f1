"""Progress: what the library logs and reports, and how the command line and notebooks show it."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest

from visiongarden.cli.entry import app
from visiongarden.cli.output import TerminalReporter, on_terminal, plain
from visiongarden.progress import LOGGER, NotebookReporter, Reporter, reporter, reporting_to


def test_nothing_is_printed_outside_the_command_line(capsys):
    assert type(reporter()) is Reporter
    assert not reporter().shows
    reporter().update("epoch 1/2", 1, 5, "loss 1.0")
    LOGGER.info("a line")
    assert capsys.readouterr() == ("", "")


def test_the_command_line_prints_lines_on_stderr(capsys):
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    with on_terminal():
        LOGGER.info("a \x1b[2J line [bold]")
        LOGGER.warning("careful")
        LOGGER.debug("hidden")
        LOGGER.setLevel(logging.WARNING)
        LOGGER.info("hidden too")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "a \\x1b[2J line [bold]\nwarning: careful\n"
    assert (LOGGER.level, LOGGER.propagate, LOGGER.handlers) == before


def test_a_bar_is_shown_on_a_terminal_only(monkeypatch):
    shown = []
    for is_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with on_terminal():
            reporter().update("epoch 1/2", 3, 5, "loss 1.25 [x]")
            LOGGER.info("beside [y]")
            reporter().close()
        shown.append(stream.getvalue())
    assert "epoch 1/2" in shown[0]
    assert "3/5" in shown[0]
    assert "loss 1.25 [x]" in shown[0]
    assert "beside [y]" in shown[0]
    assert shown[1] == "beside [y]\n"


def test_the_reporter_is_that_of_the_block():
    mine = TerminalReporter()
    with reporting_to(mine):
        assert reporter() is mine
    assert reporter() is not mine


def test_a_notebook_replaces_one_line(monkeypatch):
    lines = []

    class Handle:
        def update(self, data, raw):
            lines[-1] = data["text/plain"]

    def display(data, raw, display_id):
        lines.append(data["text/plain"])
        return Handle()

    shell = SimpleNamespace(kernel=object())
    notebook = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    current = reporter()
    assert isinstance(current, NotebookReporter)
    current.update("epoch 1/2", 1, 5)
    current.update("epoch 1/2", 2, 5, "loss 1.0")
    assert lines == ["epoch 1/2  2/5  loss 1.0"]
    current.close()
    current.update("epoch 2/2", 1, 5)
    assert lines == ["epoch 1/2  2/5  loss 1.0", "epoch 2/2  1/5"]


def test_quiet_and_verbose_set_the_level(monkeypatch):
    levels = []
    monkeypatch.setattr(
        "visiongarden.cli.commands.start", lambda *_, **named: levels.append(LOGGER.level)
    )
    monkeypatch.setattr("visiongarden.recipes.demo", lambda *_: "folder")
    for options in ([], ["-q"], ["--verbose"]):
        with on_terminal():
            app(["demo", *options], prog_name="visiongarden", standalone_mode=False)
    assert levels == [logging.INFO, logging.WARNING, logging.DEBUG]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": float("nan"), "b": (1, float("inf"))}, {"a": None, "b": [1, None]}),
        (SimpleNamespace(to_dict=lambda: {1: True}), {"1": True}),
    ],
)
def test_results_as_json_values(value, expected):
    assert plain(value) == expected
