"""Plain-text tables: alignment, width and escapes."""

from rich.cells import cell_len

from visiongarden.terminal import table, wrapped


def test_table():
    rows = [("cat", "0.512"), (), ("zebra crossing", "1")]
    assert table(("class", "AP"), rows, right=("AP",)).split("\n") == [
        "class              AP",
        "─────────────────────",
        "cat             0.512",
        "",
        "zebra crossing      1",
    ]
    assert table(("class",), []) == "class\n─────"


def test_wide_cells_are_folded_and_nothing_is_lost():
    long = "a note of many words " * 12
    path = "backbone/" + "stage/" * 30
    lines = table(("class", "note", "path"), [("猫" * 9, long, path)], width=60).split("\n")
    # rich measures terminal columns independently.
    assert max(map(cell_len, lines)) <= 60
    text = "".join(lines[2:])
    assert text.count("many") == 12
    assert text.count("猫") == 9
    assert text.count("/") == path.count("/")


def test_names_from_files_are_escaped():
    text = table(("name",), [("a\x1b[2J\rb\nc",)])
    assert text.split("\n")[2:] == ["a\\x1b[2J\\x0db", "c"]


def test_wrapped():
    assert wrapped("one two three", 7) == "one two\nthree"
    assert wrapped("  ab\n\nabcdefghij", 5) == "  ab\n\nabcde\nfghij"
