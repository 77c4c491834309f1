import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import visiongarden as vg
from visiongarden.config import Value, dump_yaml, load_yaml, save_yaml
from visiongarden.config import yaml as config_yaml
from visiongarden.config.yaml import dump_scalar, load_scalar
from visiongarden.errors import ConfigError

keys = st.text(max_size=8).filter(lambda key: "${" not in key)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: "${" not in text)
    | st.sampled_from(["yes", "no", "1e-3", "010", "1_000", "2024-01-01", "~", "", "<<", "0x1f"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("a: 1", {"a": 1}),
        ("a: 1e-3", {"a": 0.001}),
        ("a: -.5", {"a": -0.5}),
        ("a: .inf", {"a": float("inf")}),
        ("a: no", {"a": "no"}),
        ("a: 010", {"a": "010"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: true", {"a": True}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: [p3, p4]", {"a": ["p3", "p4"]}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_reads(text, value):
    read = load_yaml(text)
    assert read == value
    assert [type(item) for item in read.values()] == [type(item) for item in value.values()]


def test_an_alias_is_a_copy():
    data = load_yaml("a: &x {b: 1}\nc: *x")
    data["a"]["b"] = 2
    assert data["c"] == {"b": 1}


bomb = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "text:3:1: duplicate key 'a'; first defined in line 1"),
        ("{a: 1, a: 2}", "text:1:8: duplicate key 'a'"),
        ("a: [1, 2\nb: 3", "text:2:2: "),
        ("a: b: c", "text:1:5: mapping values are not allowed here"),
        ("a: !!python/object/apply:os.system [ls]", "text:1:4: tags such as !x"),
        ("a: !!set {b}", "tags such as !x"),
        ("a: ${oc.env:HOME}", r"text:1:4: references such as \$\{name\} are not supported"),
        ("${oc.env:HOME}: 1", "references such as"),
        ("a: &a [*a]", r"text:1:8: alias \*a refers to a value that contains it"),
        ("a: *b", "undefined alias"),
        ("? [a, b]\n: 1", "text:1:3: a key must be a name"),
        ("a: " + "[" * 60, "nested more than 40 levels deep"),
        ("a: " + "9" * 5000, "not YAML"),
        ("a: 1\n---\nb: 2", "text:2:1: but found another document"),
        ("a: \x00", "text:1: character"),
        ("- a\n- b", "text is not a mapping"),
        ("just words", "text is not a mapping"),
        (bomb, "more than 20000 values with all aliases"),
        ("a: " + "x" * config_yaml.MAX_BYTES, "too large"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ConfigError, match=message):
        load_yaml(text)


def test_a_file_is_named_with_line_and_column(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(ConfigError, match=r"recipe.yaml:2:1: duplicate key 'a'"):
        load_yaml(path)
    with pytest.raises(ConfigError, match=r"recipe.yaml:2:1: duplicate key 'a'"):
        load_yaml(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff", "bad.yaml:1: not UTF-8"),
        (b"a: 1\n" * 60_000, "too large"),
    ],
)
def test_refuses_a_file(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)


def test_missing_file():
    with pytest.raises(ConfigError, match=r"cannot read nowhere\.yaml: No such file"):
        load_yaml("nowhere.yaml")


def test_the_environment_does_not_leak(monkeypatch):
    monkeypatch.setenv("SECRET", "do-not-show")
    with pytest.raises(ConfigError) as error:
        load_yaml("a: x${oc.env:SECRET}")
    assert "do-not-show" not in str(error.value)


@given(st.dictionaries(keys, plain, max_size=6))
def test_round_trip(data):
    assert load_yaml(dump_yaml(data) + "\n") == data


@given(st.text(alphabet="ab01:-[]{}&*!<>|?#,'\"%@`~.e \n\t$", max_size=60) | st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ConfigError):
        assert isinstance(load_yaml(text + "\n"), dict)


@given(st.binary(max_size=80))
def test_any_file_is_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_yaml(path), dict)


class Sizes(Value):
    height: int = 640
    levels: tuple[str, ...] = ("p3", "p4")
    file: Path = Path("runs/a")


def test_saves_a_value(tmp_path):
    path = tmp_path / "new" / "sizes.yaml"
    save_yaml(path, Sizes(height=320))
    assert path.read_text() == "height: 320\nlevels: [p3, p4]\nfile: runs/a\n"
    assert Sizes.from_dict(load_yaml(path)) == Sizes(height=320)
    assert [p.name for p in path.parent.iterdir()] == ["sizes.yaml"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "sizes.yaml"
    save_yaml(path, Sizes())
    old = path.read_text()
    with pytest.raises(ConfigError, match="cannot be written as YAML"):
        save_yaml(path, {"a": object()})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space"):
        save_yaml(path, Sizes(height=320))
    monkeypatch.undo()
    assert path.read_text() == old
    assert [p.name for p in tmp_path.iterdir()] == ["sizes.yaml"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_saved_file_is_readable_by_others(tmp_path):
    save_yaml(tmp_path / "a.yaml", {})
    assert (tmp_path / "a.yaml").stat().st_mode & 0o044


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("p3", "p3"),
        ("3", "'3'"),
        (("p3", "p4"), "[p3, p4]"),
        ({"p3": ((10.0, 13.0),)}, "{p3: [[10.0, 13.0]]}"),
        (None, "null"),
        (vg.assigners.TaskAligned(top_k=5), "{type: TaskAligned, top_k: 5, alpha: 0.5, beta: 6.0}"),
    ],
)
def test_one_line_of_yaml_is_read_back(value, text):
    assert dump_scalar(value) == text
    expected = value.to_dict() if isinstance(value, Value) else json.loads(json.dumps(value))
    assert load_scalar(text, "test") == expected
