"""Names from files are escaped in terminals and pages."""

import io
import json

import cv2
import numpy as np
import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from visiongarden.cli.entry import _run
from visiongarden.cli.output import console as escaping
from visiongarden.doctor import check_dataset
from visiongarden.errors import ContractError, DataError
from visiongarden.terminal import printable

NAME = "\x1b]0;pwned\x07\x1b[31mred\x9b2J\r\u202egnp.x"
SHOWN = "\\x1b]0;pwned\\x07\\x1b[31mred\\x9b2J\\x0d\\u202egnp.x"


def test_control_characters_become_escapes():
    assert printable(NAME) == SHOWN
    assert printable("a\tb\nc é 猫 \ud800") == "a\tb\nc é 猫 \\ud800"
    assert printable(SHOWN) == SHOWN


def test_errors_hold_no_control_characters():
    assert SHOWN in str(DataError(NAME, rule=NAME, received=NAME, fix=NAME))
    assert "\x1b" not in str(DataError(NAME, rule=NAME, received=NAME, fix=NAME))
    assert "\x1b" not in str(ContractError(NAME, wants=(NAME, NAME), offered=NAME, fix=NAME))


def test_consoles_print_names_as_escapes_and_keep_their_own_sequences():
    file = io.StringIO()
    console = escaping(file=file, force_terminal=True, width=200, highlight=False)
    table = Table()
    table.add_column("name")
    table.add_row(Text(NAME), style="bold")
    console.print(NAME, markup=False)
    console.print(table)
    with Live(Text(NAME), console=console):
        console.print("beside")
    text = file.getvalue()
    assert "pwned\x07" not in text
    assert "\x1b[31mred" not in text
    assert "\x9b" not in text
    assert text.count("\\x1b]0;pwned") >= 3
    assert "\x1b[1m" in text  # bold, by rich


@pytest.fixture
def dataset(tmp_path):
    """One damaged image and one valid one whose names and classes are hostile."""
    root = tmp_path / "set"
    root.mkdir()
    (root / NAME).write_bytes(b"\x89PNG")
    image = cv2.imencode(".png", np.full((40, 48, 3), 90, np.uint8))[1].tobytes()
    script = "<script>alert(1)</script>\x1b[31m"
    rows = {"images": [], "categories": [{"id": 1, "name": script}, {"id": 2, "name": "'\"&"}]}
    for number, name in enumerate(["a.png", "<img src=x onerror=alert(1)>.png"]):
        (root / name).write_bytes(image)
        rows["images"].append({"id": number, "file_name": name})
    rows["annotations"] = [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9]}]
    (root / "val.json").write_text(json.dumps(rows))
    rows["images"].append({"id": 9, "file_name": NAME})
    (root / "train.json").write_text(json.dumps(rows))
    return root


def test_the_command_prints_no_control_characters(dataset, tmp_path, capfd):
    assert _run(["data", "check", str(dataset), "--output", str(tmp_path / "r.html")]) != 0
    out, error = capfd.readouterr()
    assert "pwned" in out + error
    assert not set(out + error) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"}


def test_pages_escape_names(dataset, tmp_path):
    page = tmp_path / "r.html"
    check_dataset(dataset, output=page)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\x1b" not in text
    assert "default-src 'none'" in text
