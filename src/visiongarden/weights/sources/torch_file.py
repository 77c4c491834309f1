"""Reading PyTorch state dicts (`.pt`, `.pth`) without executing code that a pickle may contain."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.weights.sources.bytes import Span, check_spans, mapped, span_of
from visiongarden.weights.sources.stored import Source, Stored, from_tensor
from visiongarden.weights.torch_names import IGNORED

# Ten thousand tensors take 2 MB. Unpickling takes about 30 times the memory of the pickle.
_MAX_PICKLE = 8 * 2**20


@contextmanager
def open_torch(path: Path, layout: str) -> Iterator[Source]:
    """Open a state dict, or a checkpoint that contains exactly one.

    Args:
        path: Path of the file.
        layout: "keras" if the arrays have Keras's names and axis order; otherwise PyTorch's are
            assumed.

    Raises:
        UserError: If PyTorch is not installed, or the file is not a complete PyTorch archive,
            contains pickled code, or contains no or several state dicts.
    """
    data = mapped(path)
    spans = _members(path, data)
    state = _state_dict(path, _load(path))
    found, ignored = [], []
    for name, tensor in state.items():
        if name.rsplit(".", 1)[-1] in IGNORED:
            ignored.append(name)
        else:
            found.append(_stored(path, name, tensor, layout != "keras"))
    check = lambda: check_spans(path, data, spans)  # noqa: E731
    yield Source(str(path), tuple(found), tuple(ignored), verify=check)


def _members(path: Path, data: Any) -> list[Span]:
    """Locate the members of a PyTorch archive.

    Files that PyTorch would not write are rejected here, before `torch.load` opens them.
    """
    fix = f'torch.save(torch.load("{path}", weights_only=True), "new.pt")  # torch 1.6 or newer'
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            spans = [span_of(data, member) for member in members]
    except Exception as error:  # A damaged archive makes zipfile raise errors of many types.
        raise UserError(
            f"{path} is not a complete PyTorch file",
            rule="an archive written by torch.save(); plain pickles are not opened",
            received=str(error)[:200],
            fix=fix,
        ) from error
    pickles = [member for member in members if member.filename.endswith(".pkl")]
    large = any(member.file_size > _MAX_PICKLE for member in pickles)
    if None in spans or len(pickles) != 1 or large:
        raise UserError(
            f"{path} is not a PyTorch state dict",
            rule="an uncompressed archive with one small data.pkl",
            received=", ".join(member.filename for member in members[:4]),
            fix=fix,
        )
    return [span for span in spans if span is not None]


def _load(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} requires PyTorch",
            fix='pip install "visiongarden[torch]", or save the weights as .safetensors',
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} contains pickled code, which is not executed",
            rule="a state dict that contains only names and tensors",
            received=_reason(error),
            fix="if you trust the file: load it in the program that wrote it, then "
            "torch.save(model.state_dict(), path)",
        ) from error
    except Exception as error:  # A damaged file makes PyTorch raise errors of many types.
        raise UserError(
            f"{path} is not a complete PyTorch file",
            rule="an archive written by torch.save()",
            received=f"{type(error).__name__}: {_reason(error)}",
            fix="copy the file again if it is truncated",
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    _, found, rest = text.partition("WeightsUnpickler error: ")
    return (rest if found else text)[:120]


def _state_dict(path: Path, loaded: Any) -> dict[str, Any]:
    inside = dict(loaded) if isinstance(loaded, Mapping) else {}
    holders = {str(key): _tensors(value) for key, value in inside.items() if _tensors(value)}
    # A single dict of tensors is the state dict, even if there are tensors beside it: training
    # scripts store values such as the best accuracy or the step as tensors.
    if len(holders) == 1:
        return next(iter(holders.values()))
    if not holders and _tensors(loaded):
        return _tensors(loaded)
    raise UserError(
        f"{path} contains " + ("several state dicts" if holders else "no state dict"),
        rule="a dict from names to tensors, or a dict that contains one such dict",
        received=", ".join(holders or map(str, list(inside)[:5])) or type(loaded).__name__,
        fix=f'transfer(torch.load("{path}", weights_only=True)["{next(iter(holders))}"], model)'
        if holders
        else "torch.save(model.state_dict(), path)",
    )


def _tensors(value: Any) -> dict[str, Any]:
    import torch

    if not isinstance(value, Mapping):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}


def _stored(path: Path, name: str, tensor: Any, torch_layout: bool) -> Stored:
    import torch

    # A tensor with strides of 0 can have any number of elements in a storage of one.
    stored_bytes = tensor.untyped_storage().nbytes() if tensor.layout is torch.strided else 0
    if tensor.is_quantized or tensor.numel() * tensor.element_size() > stored_bytes:
        raise UserError(
            f"{path}: {name} is not a plain tensor",
            rule="a dense tensor with all values stored in the file",
            received=f"shape {tuple(tensor.shape)}, {stored_bytes:,} bytes",
        )
    return from_tensor(name, tensor, torch_layout)
