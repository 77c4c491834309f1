"""`lint` runs no code, accepts valid code and reads any file."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden.cli.entry import main
from visiongarden.errors import UserError
from visiongarden.linting import LintReport, lint

ROOT = Path(__file__).parents[2]
HEAD = "import keras\nimport numpy as np\nfrom keras import ops\nimport visiongarden as vg\n"
LAYER = HEAD + "@vg.register\nclass Mine(keras.layers.Layer):\n"


def codes(tmp_path, source):
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    return [finding.code for finding in lint(path)]


def call(body, arguments="x"):
    return LAYER + f"    def call(self, {arguments}):\n        {body}\n        return x\n"


@pytest.mark.slow
def test_the_source_of_visiongarden_is_clean():
    assert lint(ROOT / "src" / "visiongarden").findings == ()


def test_the_valid_zoo_has_only_warnings():
    found = lint(ROOT / "tests" / "zoo_of_valid_layers.py")
    assert {finding.code for finding in found} == {"VG203"}
    assert all(finding.is_warning for finding in found)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("y = x if ops.sum(x) > 0 else -x", ["VG202"]),
        ("n = int(ops.max(x))", ["VG202"]),
        ("while ops.any(x > 1): x = x / 2", ["VG202"]),
        ("y = np.clip(x, 0, 1)", ["VG204"]),
        ("y = ops.tanh(x).numpy()", ["VG205"]),
        ("self.last = ops.tanh(x)", ["VG210"]),
        ("x = keras.layers.Dense(8)(x)", ["VG201"]),
        ("x = x.astype('float32')", ["VG207"]),
        ("x = x + ops.tanh(x)", ["VG203"]),
        ("x += self.conv(x)", ["VG203"]),
        ("x = ops.reshape(x, (-1, 7 * 7, 64))", ["VG206"]),
        ("x = x + keras.random.normal(ops.shape(x))", ["VG208"]),
        ("x = self.norm(x, training=True)", ["VG209"]),
        # Valid code.
        ("h, w = x.shape[1:3]; y = x if h > w else -x", []),
        ("n = int(x.shape[-1]); y = np.sqrt(n)", []),
        ("if self.conv is not None: x = self.conv(x)", []),
        ("if len(x.shape) == 3: x = x[:, None]", []),
        ("x = ops.reshape(x, (-1, ops.shape(x)[1], 8))", []),
        ("x = ops.cast(ops.exp(ops.cast(x, 'float32')), x.dtype)", []),
        ("x = self.backbone(x, training=False)", []),
        ("x = x * 2 + 1", []),
        ("x = x + self.bias", []),
        ("y = [f(x) for f in self.units] + []", []),
    ],
)
def test_errors_in_call(tmp_path, body, wanted):
    assert sorted(codes(tmp_path, call(body))) == wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (call("pass").replace("@vg.register\n", ""), ["VG101"]),
        (HEAD + "class _Own(keras.layers.Layer):\n    def call(self, x): return x\n", []),
        (HEAD + "class Base(keras.layers.Layer):\n    pass\n", []),
        (
            HEAD + "class Necks(vg.Decoder):\n    def wire(self, features): return features\n",
            ["VG101"],
        ),
        (LAYER + "    def __init__(self, a=[], **kwargs): super().__init__(**kwargs)\n", ["VG108"]),
        (LAYER + "    def __init__(self, a): super().__init__()\n", ["VG105"]),
        (
            LAYER + "    def __init__(self, a, name=None, dtype=None):\n"
            "        super().__init__(name=name, dtype=dtype)\n",
            [],
        ),
        (
            LAYER + "    def __init__(self, **kwargs):\n        super().__init__(**kwargs)\n"
            "        self.weights = keras.layers.Dense(2)\n        self.f = lambda x: x\n",
            ["VG106", "VG110"],
        ),
        (
            LAYER + "    def __init__(self, a, b, **kwargs): super().__init__(**kwargs)\n"
            "    def get_config(self):\n        config = super().get_config()\n"
            "        config.update(a=self.a)\n        return config\n",
            ["VG104"],
        ),
        (
            HEAD + "@vg.register\nclass Mine(keras.layers.Conv2D):\n"
            "    def __init__(self, filters, odd, **kwargs):\n"
            "        super().__init__(filters, 3, **kwargs)\n"
            "    def get_config(self):\n        return super().get_config()\n",
            ["VG104"],
        ),
        ("class Plain:\n    def call(self, x):\n        return int(x) + x\n", []),
        ("", []),
    ],
)
def test_errors_in_classes(tmp_path, source, wanted):
    assert sorted(codes(tmp_path, source)) == wanted


def test_noqa_silences(tmp_path):
    line = "self.last = ops.tanh(x)"
    assert codes(tmp_path, call(f"{line}  # noqa: VG210")) == []
    assert codes(tmp_path, call(f"{line}  # noqa")) == []
    assert codes(tmp_path, call(f"{line}  # noqa: VG101, E501")) == ["VG210"]


def test_no_code_is_run(tmp_path):
    (tmp_path / "mine.py").write_text("open('ran', 'w')\nraise SystemExit(7)\n")
    assert lint(tmp_path / "mine.py").findings == ()
    assert not (tmp_path / "ran").exists()
    code = "import sys\nfrom visiongarden.linting import lint\nlint(sys.argv[1])\n"
    code += "print({'keras', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"class (", "mine.py:1:"),
        (b"# caf\xe9\n", "save the file as UTF-8"),
        (b"# coding: no-such\n", "encoding"),
        (b"a\0b", "mine.py"),
        (b"(" * 5000, "mine.py"),
        (b"x = " + b"a+" * 200_000 + b"a", "mine.py"),
        (b"#" * (5 * 2**20), "at most"),
        (None, "check the path"),
    ],
    ids=["syntax", "latin", "coding", "null", "deep", "long", "huge", "missing"],
)
def test_files_that_cannot_be_read(tmp_path, data, words):
    path = tmp_path / "mine.py"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=words):
        lint(path)


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="ignore"))
)
def test_any_bytes_are_handled(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.py"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        assert isinstance(lint(path), LintReport)


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (call("self.last = ops.tanh(x)"), 1, "mine.py:8:9: VG210 self.last"),
        (call("x = x + ops.tanh(x)"), 0, "VG203 warning: "),
        (call("pass"), 0, ""),
    ],
)
def test_command(tmp_path, capsys, source, code, words):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(SystemExit) as ended:
        main(["lint", str(tmp_path / "mine.py")])
    assert ended.value.code == code
    output = capsys.readouterr().out
    assert words in output
    assert ("fix: " in output) == bool(words)


@pytest.mark.parametrize("name", ["center", "centre", "running_mean"])
def test_statistics_that_nothing_updates_are_recognized_by_name(tmp_path, name):
    source = f"""
import keras

@keras.saving.register_keras_serializable("own")
class Centered(keras.layers.Layer):
    def build(self, input_shape):
        self.{name} = self.add_weight(shape=(3,), trainable=False)

    def call(self, x):
        return x - self.{name}
"""
    assert "VG214" in codes(tmp_path, source)
    updated = source.replace(
        "return x", f"self.{name}.assign(keras.ops.mean(x, axis=0))\n        return x"
    )
    assert "VG214" not in codes(tmp_path, updated)
