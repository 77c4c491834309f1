"""Codes of the linter and the values that describe one error in a source file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from visiongarden.markup import Preformatted
from visiongarden.terminal import counted

CODES: dict[str, tuple[str, str]] = {
    "VG101": (
        "{0} is not registered, so a saved model that contains it cannot be loaded",
        '@vg.register(package="my_project") above the class',
    ),
    "VG102": (
        "build() creates self.{0} without building it, so its weights are random after loading",
        "create it in __init__ and derive from vg.layers.Composite, or self.{0}.build(input_shape)",
    ),
    "VG103": (
        "get_config drops name, dtype and trainable",
        "return super().get_config() | {{...}}",
    ),
    "VG104": (
        "get_config omits {0}, which is restored as its default value",
        '"{0}": self.{0} in get_config',
    ),
    "VG105": (
        "__init__ does not pass name, dtype and trainable to the base class",
        "def __init__(self, ..., **kwargs): super().__init__(**kwargs)",
    ),
    "VG106": (
        "self.{0} is a lambda, which cannot be saved",
        "use a named function or a registered layer",
    ),
    "VG107": (
        "a Lambda layer cannot be loaded from a saved model",
        "write a registered layer with this code in call()",
    ),
    "VG108": (
        "a mutable default value is shared by all instances",
        "use a tuple as the default, or None and create a list in __init__",
    ),
    "VG109": (
        "the mutable class attribute {0} is shared by all instances and modified",
        "self.{0} = [...] in __init__",
    ),
    "VG110": (
        "self.{0} is an attribute that Keras uses itself",
        "use another name, such as self.{0}_layer",
    ),
    "VG111": (
        "Keras does not track the layers in {0}: they are neither saved nor trained",
        "fill the list before assigning it, or use a flat list: self.units = [...]",
    ),
    "VG112": (
        "{0} is a layer or a function, which Keras's automatic config cannot contain",
        "derive from vg.layers.Composite, or write get_config and from_config",
    ),
    "VG113": (
        "get_config returns the NumPy array self.{0}, which is restored as a dict",
        '"{0}": self.{0}.tolist() in get_config',
    ),
    "VG201": (
        "{0} is created in call(): its variables are neither saved nor trained",
        "create it in __init__ and use it in call()",
    ),
    "VG202": (
        "{0} uses the value of a tensor in Python; while a graph is traced, it has no value",
        "ops.where(condition, a, b) or ops.cond(condition, f, g)",
    ),
    "VG203": (
        "+ silently broadcasts if the shapes differ",
        "self.sum([x, y]) with self.sum = vg.layers.Sum() in __init__",
    ),
    "VG204": ("{0} takes a tensor out of the graph", "use the equivalent function of keras.ops"),
    "VG205": ("{0} takes a tensor out of the graph", "use keras.ops on the tensor itself"),
    "VG206": (
        "all sides of this reshape are constant, so other input sizes change the batch size",
        "ops.reshape(x, (-1, height * width, channels)) with sides from ops.shape(x)",
    ),
    "VG207": (
        "the result is float32 even under a half-precision dtype policy",
        "ops.cast(x, self.compute_dtype) before it is returned",
    ),
    "VG208": (
        "{0} samples random numbers in inference, too",
        "use call(self, x, training=False) and `if training:`, or a layer such as Dropout",
    ),
    "VG209": (
        "training=True applies in inference, too",
        "omit the argument; Keras passes it to sublayers automatically",
    ),
    "VG210": (
        "self.{0} stores a tensor of one call, which is not saved and leaks out of the graph",
        "return it, or assign it to a variable from build() under `if training:`",
    ),
    "VG211": (
        "all items are the same layer, so they share their weights",
        "[make() for _ in range(n)], which creates a layer for each item",
    ),
    "VG212": (
        "{0} returns the same numbers in every step once the step is compiled",
        "seed=self.seeds, with self.seeds = keras.random.SeedGenerator() in __init__",
    ),
    "VG213": (
        "self.{0} is a tensor, not a weight: it is neither trained nor saved",
        "self.{0} = self.add_weight(shape, initializer, name='{0}') in build()",
    ),
    "VG214": (
        "call() reads the statistic self.{0}, which is never updated",
        "self.{0}.assign(...) in call() under `if training:`",
    ),
}
"""Message and fix by code; `{0}` is replaced by the name that the error concerns.

Codes from VG101 on concern a class, its constructor and its config; codes from VG201 on concern
`call`, and the weights and random numbers that it uses.
"""

WARNINGS = {"VG203"}
"""Codes that are reported as warnings, because the code may be intended."""


@dataclass(frozen=True, order=True)
class LintFinding:
    """Error or warning at one position of a source file.

    Attributes:
        path: Path of the file.
        line: Line number, from 1.
        column: Column number, from 1.
        code: Code such as "VG203"; `# noqa: VG203` suppresses it.
        message: Description of the problem.
        fix: Code to write instead.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    fix: str

    @property
    def is_warning(self) -> bool:
        """Whether this is a warning, because the code may be intended."""
        return self.code in WARNINGS

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}"
        warning = "warning: " if self.is_warning else ""
        return f"{place}: {self.code} {warning}{self.message}\n    fix: {self.fix}"


@dataclass(frozen=True, repr=False)
class LintReport(Preformatted):
    """Errors and warnings in source files; iterating yields them, `str()` lists them.

    Attributes:
        findings: Errors and warnings in the order of the files.
        files: Number of files.
    """

    findings: tuple[LintFinding, ...]
    files: int

    @property
    def ok(self) -> bool:
        """Whether there are no errors; warnings do not count."""
        return all(finding.is_warning for finding in self.findings)

    def __iter__(self) -> Iterator[LintFinding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, index: int) -> LintFinding:
        return self.findings[index]

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to a JSON-serializable dict."""
        findings = [
            asdict(finding) | {"level": "warning" if finding.is_warning else "error"}
            for finding in self.findings
        ]
        return {"ok": self.ok, "files": self.files, "findings": findings}

    def __repr__(self) -> str:
        warnings = sum(finding.is_warning for finding in self.findings)
        numbers = f"{counted(len(self) - warnings, 'error')}, {counted(warnings, 'warning')}"
        return f"LintReport({numbers} in {counted(self.files, 'file')})"

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "no errors found"


@dataclass(frozen=True)
class Found:
    """Error at a node of the syntax tree, before the file is known.

    Attributes:
        node: Node of the syntax tree that contains the error.
        code: Key of `CODES`.
        subject: Name that replaces `{0}` in the message and the fix.
    """

    node: ast.AST
    code: str
    subject: str = ""

    def at(self, path: str) -> LintFinding:
        """Create the error with its file, position and message.

        Args:
            path: Path of the file.
        """
        message, fix = (text.format(self.subject) for text in CODES[self.code])
        # A module has no position.
        line, column = getattr(self.node, "lineno", 1), getattr(self.node, "col_offset", 0)
        return LintFinding(path, line, column + 1, self.code, message, fix)
