"""Cfg files are parsed as tolerantly as by Darknet; errors name line and section."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.shared import shared

from visiongarden.darknet import parse_cfg
from visiongarden.errors import ModelFileError, UserError

SMALL = """\
[net]
width=64
height = 32

# a comment
[convolutional]
filters=8
size=3
"""


def test_sections_options_and_lines():
    cfg = parse_cfg(SMALL)
    assert cfg.net.integer("width", 0) == 64
    assert cfg.net.integer("height", 0) == 32
    assert cfg.net.lines == {"width": 2, "height": 3}
    (conv,) = cfg
    assert (conv.kind, conv.line, conv.index) == ("convolutional", 6, 0)
    assert conv.options == {"filters": "8", "size": "3"}
    assert [s.kind for s in cfg.sections] == ["net", "convolutional"]
    assert len(cfg) == 1
    assert cfg.text == SMALL


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("[net]\r\n[conv]\r\nfilters=8\r\n", {"filters": "8"}),
        ("[net]\n[ conv ]\n fil ters = 8 # was 16\n", {"filters": "8"}),
        ("\ufeff[network]\n[convolutional]\nfilters=8 ;x", {"filters": "8"}),
        ("[net]\n[conv]\nfilters=8\nfilters=9\n", {"filters": "8"}),
        ("[net]\n[conv]\nlayers = -1, 271 ###S4\n", {"layers": "-1, 271"}),
    ],
)
def test_what_darknet_tolerates(text, options):
    cfg = parse_cfg(text)
    assert cfg.net.kind == "net"
    assert (cfg.layers[0].kind, cfg.layers[0].options) == ("convolutional", options)


def test_stray_lines_are_listed():
    cfg = parse_cfg("hello\n[net]\n[conv]\nfilters\npad=\n=3\nsize=1\n")
    assert cfg.ignored == ((1, "hello"), (4, "filters"), (5, "pad="), (6, "=3"))
    assert cfg.layers[0].options == {"size": "1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n", ["contains no section"]),
        ("[conv]\nfilters=1", ["line 1", "first section"]),
        ("width=3\n[net]\n", ["line 1", "appears before the first section"]),
        ("[net]\n\n[convolutionel]\n", ["line 3", "[convolutionel]", "convolutional"]),
        ("[net]\nwidth=3\n", ["line 1", "no layer"]),
        ("[net]\n" + "[conv]\n" * 5000, ["line 4097", "too many sections"]),
        ("[net]\n" + "\n".join(f"a{i}=1" for i in range(300)), ["line 1", "too many options"]),
        ("[net]\n" + " " * 2**20, ["too large", "1,048,576"]),
    ],
)
def test_errors_name_the_line(text, words):
    with pytest.raises(ModelFileError) as caught:
        parse_cfg(text, file="a.cfg")
    assert all(word in str(caught.value) for word in ["a.cfg", *words])


@pytest.mark.parametrize("content", [b"\0\0\0\2\0\0\0\5", b"[net]\n" + b"x" * 2**20])
def test_other_files_are_rejected(tmp_path, content):
    path = tmp_path / "a.weights"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"a\.weights"):
        parse_cfg(path)


@pytest.mark.parametrize("path", ["no_such.cfg", "a" * 5000, "a\0b"])
def test_a_missing_file(path):
    with pytest.raises(ModelFileError, match="there is no cfg"):
        parse_cfg(path)


def test_an_empty_path_is_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="is a folder") as error:
        parse_cfg("")
    assert error.value.received == "no such file in the folder"


def section(line):
    return parse_cfg(f"[net]\n[conv]\n{line}\n", file="a.cfg").layers[0]


@pytest.mark.parametrize(
    ("line", "read", "value"),
    [
        ("n=8", lambda s: s.integer("n", 1), 8),
        ("n=8.", lambda s: s.integer("n", 1), 8),
        ("m=8", lambda s: s.integer("n", 1), 1),
        ("n=-1, -3,61,", lambda s: s.integers("n"), (-1, -3, 61)),
        ("m=1", lambda s: s.integers("n"), ()),
        ("n=.3", lambda s: s.number("n", 1), 0.3),
        ("n=1e-3", lambda s: s.number("n", 1), 1e-3),
        ("n=1.08,1.19,  3.42", lambda s: s.numbers("n"), (1.08, 1.19, 3.42)),
        ("n=1", lambda s: s.flag("n"), True),
        ("n=0", lambda s: s.flag("n", True), False),
        ("n=61,45    61,45", lambda s: s.numbers("n"), (61.0, 4561.0, 45.0)),
        ("n=61,45    61,45", lambda s: s.missing_comma("n"), "45    61"),
        ("n=61, 45, 61", lambda s: s.missing_comma("n"), None),
        ("n=mish", lambda s: s.choice("n", "linear", ("linear", "mish")), "mish"),
    ],
)
def test_options(line, read, value):
    assert read(section(line)) == value


@pytest.mark.parametrize(
    ("line", "read", "words"),
    [
        ("n=eight", lambda s: s.integer("n", 1), ["n=eight", "an integer"]),
        ("n=2.5", lambda s: s.integer("n", 1), ["n=2.5"]),
        ("n=0", lambda s: s.integer("n", 1, minimum=1), ["n=0", "of at least 1"]),
        ("n=9", lambda s: s.integer("n", 1, 1, 8), ["from 1 to 8"]),
        ("n=99999999999999999999", lambda s: s.integer("n", 1), ["n=9999"]),
        ("n=1,,2", lambda s: s.integers("n"), ["n=1,,2"]),
        ("n=nan", lambda s: s.number("n", 1), ["n=nan", "a number"]),
        ("n=1e999", lambda s: s.number("n", 1), ["n=1e999"]),
        ("n=misch", lambda s: s.choice("n", "linear", ("linear", "mish")), ["mish?"]),
    ],
)
def test_invalid_options(line, read, words):
    with pytest.raises(ModelFileError) as caught:
        read(section(line))
    assert all(word in str(caught.value) for word in ["a.cfg line 3, [conv", *words])


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_any_text_parses_or_is_rejected(text):
    try:
        cfg = parse_cfg("\n" + text)
    except UserError:
        return
    assert cfg.net.kind == "net"


WORDS = st.sampled_from(
    ["[net]", "[conv]", "[yolo]", "[x]", "[", "]", "=", "a=1", "a", "#", ";", ",", "\r", " ", "é"]
)


@given(st.lists(WORDS, max_size=30), st.sampled_from(["\n", "\r\n", " "]))
def test_any_pieces_parse_or_are_rejected(pieces, glue):
    try:
        cfg = parse_cfg("[net]\n" + glue.join(pieces))
    except UserError:
        return
    assert all(s.lines[name] > s.line for s in cfg.sections for name in s.options)


@given(st.text("0123456789+-.eE, naifx", max_size=30))
@example("1e308")
def test_any_value_reads_or_is_rejected(value):
    one = section(f"n={value}")
    for read in (one.integers, one.numbers):
        try:
            found = read("n")
        except UserError:
            continue
        assert all(math.isfinite(n) for n in found)


def test_official_cfgs_parse():
    files = sorted(shared("reference").rglob("*.cfg"))
    assert len(files) >= 145
    for file in files:
        cfg = parse_cfg(file)
        assert [layer.index for layer in cfg] == list(range(len(cfg)))
        assert cfg.ignored == ()
