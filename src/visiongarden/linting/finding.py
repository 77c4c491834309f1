"""Codes of the linter and the values that describe one error in a source file."""

from __future__ import annotations

import ast
from dataclasses import dataclass

CODES: dict[str, tuple[str, str]] = {
    "VG101": (
        "{0} is not registered, so no process could reopen a file with it",
        '@vg.register(package="my_project") above the class',
    ),
    "VG102": (
        "build() makes self.{0} and does not build it: it would come back random",
        "make it in __init__ and derive from vg.layers.Composite, or self.{0}.build(input_shape)",
    ),
    "VG103": (
        "get_config drops name, dtype and trainable",
        "return super().get_config() | {{...}}",
    ),
    "VG104": (
        "get_config lacks {0}, which comes back as its default",
        '"{0}": self.{0} in get_config',
    ),
    "VG105": (
        "name, dtype and trainable do not reach the base class",
        "def __init__(self, ..., **kwargs): super().__init__(**kwargs)",
    ),
    "VG106": (
        "self.{0} is a lambda, which no file can hold",
        "a function with a name, or a registered layer",
    ),
    "VG107": ("a Lambda layer does not reopen", "a registered layer with this call()"),
    "VG108": (
        "a default that can change is shared by all instances",
        "a tuple as default, or None and a new list in __init__",
    ),
    "VG109": (
        "the class attribute {0} is shared by all instances, and changed",
        "self.{0} = [...] in __init__",
    ),
    "VG110": ("self.{0} is a name of Keras's own", "another name, as self.{0}_layer"),
    "VG111": (
        "layers in {0} are not seen by Keras: no file and no optimizer has them",
        "fill the list before it is attached, or use a flat list: self.units = [...]",
    ),
    "VG112": (
        "{0} is a layer or a function, which Keras's own config cannot hold",
        "derive from vg.layers.Composite, or write get_config and from_config",
    ),
    "VG113": (
        "get_config returns the NumPy array self.{0}, which comes back as a dict",
        '"{0}": self.{0}.tolist() in get_config',
    ),
    "VG201": (
        "{0} is made in call(): its variables are in no file and are never trained",
        "make it in __init__ and use it in call()",
    ),
    "VG202": (
        "{0} decides in Python on a tensor, which has no value while a graph is drawn",
        "ops.where(condition, a, b) or ops.cond(condition, f, g)",
    ),
    "VG203": (
        "+ broadcasts where the shapes differ, without a word",
        "self.sum([x, y]) with self.sum = vg.layers.Sum() in __init__",
    ),
    "VG204": ("{0} takes a tensor out of the graph", "the function of that name in keras.ops"),
    "VG205": ("{0} takes a tensor out of the graph", "keras.ops on the tensor itself"),
    "VG206": (
        "all sides of this reshape are fixed, so that another size folds into the batch",
        "ops.reshape(x, (-1, height * width, channels)) with sides from ops.shape(x)",
    ),
    "VG207": (
        "the result is float32 also where the policy says half precision",
        "ops.cast(x, self.compute_dtype) before it is given on",
    ),
    "VG208": (
        "{0} draws numbers in inference too",
        "call(self, x, training=False) and `if training:`, or a layer such as Dropout",
    ),
    "VG209": (
        "training=True holds in inference too",
        "leave the argument out: Keras hands it on",
    ),
    "VG210": (
        "self.{0} keeps a tensor of one call: it is in no file, and leaks out of the graph",
        "return it, or a variable made in build and assigned under `if training:`",
    ),
    "VG211": (
        "one layer stands for all: its weights are shared",
        "[make() for _ in range(n)], so that each is made by itself",
    ),
    "VG212": (
        "{0} gives the same numbers in each step once the step is compiled",
        "seed=self.seeds, with self.seeds = keras.random.SeedGenerator() in __init__",
    ),
    "VG213": (
        "self.{0} is a tensor, not a weight: it is never trained and no file keeps it",
        "self.{0} = self.add_weight(shape, initializer, name='{0}') in build()",
    ),
    "VG214": (
        "call() reads the statistic self.{0}, and nothing ever updates it",
        "self.{0}.assign(...) in call() under `if training:`",
    ),
}
"""Message and fix by code; `{0}` stands for the name that the error is about.

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
        line, column = getattr(self.node, "lineno", 1), getattr(self.node, "col_offset", 0)
        return LintFinding(path, line, column + 1, self.code, message, fix)
