"""Reading the pickles of PyTorch as data: an interpreter of the few operations that they need.

Python's own unpickler calls whatever a file names, and allocates what it claims. This one knows
tensors, dicts, lists, numbers and texts, calls nothing, and refuses all else.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
_MAX_ITEMS = 2_000_000


@dataclass(frozen=True)
class Storage:
    """Numbers that tensors share.

    Attributes:
        key: Name in the file.
        dtype: Name of the type of the numbers.
        count: Number of numbers that the file claims.
    """

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage.

    Attributes:
        storage: The storage.
        offset: Index of the first number.
        shape: Shape.
        strides: Distance of neighbors on each axis, in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name of a module's member, which is never looked up."""

    text: str


@dataclass(frozen=True)
class Opaque:
    """Data that this reader cannot represent, such as a sparse tensor or a device.

    Attributes:
        kind: Name of the function that would make it.
    """

    kind: str


_MARK = object()


class CodeError(Exception):
    """Error of a pickle that names something other than data; the text is its name."""


def read_pickle(stream: IO[bytes]) -> Any:
    """Read one pickle up to its end.

    Args:
        stream: Binary stream, which is then behind the pickle.

    Returns:
        Dicts, lists, tuples, numbers, texts and `Tensor`.

    Raises:
        CodeError: If the pickle names a function or class that is not among PyTorch's of tensors.
        ValueError, TypeError: If it is damaged or uses other operations.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            return machine.pop()
        action = _ACTIONS.get(opcode.name)
        if action is None:
            raise ValueError(f"the operation {opcode.name} does not occur in state dicts")
        action(machine, argument)
        machine.check_size()
    raise ValueError("the pickle has no end")


class _Machine:
    """Stack and memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def check_size(self) -> None:
        self.steps += 1
        if self.steps > _MAX_ITEMS:
            raise ValueError(f"the pickle has more than {_MAX_ITEMS:,} operations")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("an operation has no operand")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        try:
            start = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        except ValueError:
            raise ValueError("an operation has no mark") from None
        values = self.stack[start + 1 :]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"an operation is not applied to a {kind.__name__}")
        return self.stack[-1]

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise ValueError("a key of a dict has no value")
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int | float | bool | type(None)):
                raise TypeError(f"a key of a dict is of type {type(key).__name__}")
            target[key] = value

    def reduce(self) -> None:
        arguments = self.pop()
        name = self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise TypeError("a call has no name")
        self.push(_called(name.text, arguments))

    def build(self) -> None:
        state = self.pop()
        # PyTorch attaches the version numbers of modules to a state dict.
        if not isinstance(self.top(object), dict) or not isinstance(state, dict):
            raise CodeError("an object with a state")

    def persistent(self) -> None:
        found = self.pop()
        is_storage = (
            isinstance(found, tuple)
            and len(found) >= 5
            and found[0] == "storage"
            and isinstance(found[1], _Name)
        )
        dtype = _STORAGES.get(found[1].text.rpartition(".")[2]) if is_storage else None
        if dtype is None:
            raise ValueError("a reference is not to a storage of a known type")
        # Files from before PyTorch 1.6 can state a view of another storage; no later one does.
        if len(found) > 5 and found[5] is not None:
            raise ValueError("a storage is a view of another one")
        self.push(Storage(str(found[2]), dtype, _count(found[4])))

    def remember(self, index: int | None = None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.top(object)

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError("a reference has no target")
        self.push(self.memo[index])

    def name(self, text: str) -> None:
        known = text.replace(" ", ".")
        if known in _NAMES or known in _OPAQUE or _is_storage(known):
            self.push(_Name(known))
        elif known.rpartition(".")[0] == "torch" and known.rpartition(".")[2] in _CONSTANTS:
            self.push(Opaque(known))
        else:
            raise CodeError(known)

    def stack_name(self) -> None:
        member, module = self.pop(), self.pop()
        self.name(f"{module} {member}")


def _is_storage(name: str) -> bool:
    module, _, member = name.rpartition(".")
    return module in ("torch", "torch.storage") and member in _STORAGES


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "collections.OrderedDict":
        pairs = arguments[0] if arguments else []
        return dict(pairs) if isinstance(pairs, list) else {}
    if name == "torch.Size":
        return arguments[0] if arguments and isinstance(arguments[0], tuple) else ()
    if name == "torch._utils._rebuild_parameter":
        return arguments[0] if arguments else None
    if name in _OPAQUE or _is_storage(name):
        return Opaque(name)
    if len(arguments) < 4:
        raise ValueError("a tensor has no storage")
    storage, offset, shape, strides = arguments[:4]
    is_view = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    if not isinstance(storage, Storage) or not is_view:
        raise ValueError("a tensor has no storage")
    sides, steps = tuple(map(_count, shape)), tuple(map(_count, strides))
    return Tensor(storage, _count(offset), sides, steps)


_NAMES = frozenset(
    {
        "collections.OrderedDict",
        "torch.Size",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    }
)


_OPAQUE = frozenset(
    {
        "torch.device",
        "torch.serialization._get_layout",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_meta_tensor_no_storage",
    }
)
_CONSTANTS = frozenset(
    {
        "float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float8_e4m3fn", "float8_e5m2", "quint8", "qint8", "qint32",
        "strided", "sparse_coo", "sparse_csr", "per_tensor_affine", "per_channel_affine",
    }
)  # fmt: skip


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number of elements")
    return value


_PUSHED = (
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 UNICODE STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
)
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(_PUSHED.split(), _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, a: None),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "MARK": lambda m, a: m.push(_MARK),
    "POP": lambda m, a: m.pop(),
    "POP_MARK": lambda m, a: m.pop_to_mark(),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "TUPLE1": lambda m, a: m.tuple_of(1),
    "TUPLE2": lambda m, a: m.tuple_of(2),
    "TUPLE3": lambda m, a: m.tuple_of(3),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_to_mark())),
    "LIST": lambda m, a: m.push(m.pop_to_mark()),
    "APPEND": lambda m, a: m.append([m.pop()]),
    "APPENDS": lambda m, a: m.append(m.pop_to_mark()),
    "SETITEM": lambda m, a: m.set_items([*reversed([m.pop(), m.pop()])]),
    "SETITEMS": lambda m, a: m.set_items(m.pop_to_mark()),
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda m, a: m.remember(),
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": lambda m, a: m.stack_name(),
    "REDUCE": lambda m, a: m.reduce(),
    "BUILD": lambda m, a: m.build(),
    "BINPERSID": lambda m, a: m.persistent(),
}
