"""`Function`: a custom function as a transform."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from visiongarden.errors import ConfigError, UserError
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.named_object import checked_name, imported, name_of
from visiongarden.transforms.photometric import decoded
from visiongarden.transforms.transform import Context, Transform

_IMAGE_NAMES, _SAMPLE_NAMES = ("image", "img", "pixels"), ("sample",)


def _checked(value: Any) -> Any:
    if isinstance(value, str):
        return checked_name(value)
    if callable(value):
        return value
    raise ConfigError(
        "the function is not valid",
        rule="module:name, or in Python a function",
        received=repr(value)[:80],
        fix="my_package.aug:darken",
    )


@register
class Function(Transform):
    """Apply a custom function `(image, rng) -> image` or `(sample, rng) -> sample`.

    In a recipe `{type: Function, function: "my_package.aug:darken"}`. The module is imported when
    the transform is applied or resolved, never when a recipe or a file is read. An image keeps its
    shape and dtype; a function of a sample may change everything but dtype and number of channels.
    The arguments must not be changed in place.

    Attributes:
        function: `module:name`, or in Python a function.
        argument: whether it takes "image" or "sample". "auto" decides by the annotation or the name
            of its first parameter.

    Example:
        >>> def darken(image, rng):
        ...     return image // 2
        >>> info = vg.samples.ImageInfo(1, "cat.jpg", (2, 2))
        >>> sample = vg.samples.Sample(info, np.full((2, 2, 3), 100, np.uint8))
        >>> dark = vg.transforms.Function(function=darken)
        >>> dark.apply(sample, None, np.random.default_rng(0)).image.max()
        np.uint8(50)
    """

    function: Annotated[Any, BeforeValidator(_checked), WithJsonSchema({"type": "string"})]
    argument: Literal["auto", "image", "sample"] = "auto"

    def resolve(self) -> Callable[[Any, np.random.Generator], Any]:
        """Import the function and check what it takes.

        Raises:
            UserError: it cannot be imported or called, or it is not known what it takes.
        """
        return _found(self.function, self.argument)[0]

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return what the function returns.

        Raises:
            UserError: the function changes its argument in place, or returns something else.
        """
        function, argument = _found(self.function, self.argument)
        image = _read_only(decoded(self, sample))
        given = replace(sample, image=image)
        name = _label(self.function)
        found = _called(function, image if argument == "image" else given, rng, name)
        if argument == "image":
            return replace(sample, image=_checked_image(found, image, name))
        return _checked_sample(found, image, name)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; a function is stored as `module:name`.

        Raises:
            ConfigError: the function is a lambda or has no name for another reason.
        """
        is_name = isinstance(self.function, str)
        name = self.function if is_name else name_of(self.function, "function")
        return {**super().to_dict(), "function": name}


def _label(function: Any) -> str:
    if isinstance(function, str):
        return function
    named = isinstance(function, types.FunctionType | types.BuiltinFunctionType | type)
    return str(function.__name__ if named else type(function).__name__)


def _found(function: Any, argument: str) -> tuple[Callable[..., Any], str]:
    """Return the function, and whether it takes "image" or "sample"."""
    # An object with `__eq__` alone, such as a dataclass, cannot be a key of the cache.
    resolve = _resolved if isinstance(function, Hashable) else _resolved.__wrapped__
    return resolve(function, argument)


@cache
def _resolved(function: Any, argument: str) -> tuple[Callable[..., Any], str]:
    name = _label(function)
    found = imported(function, "function") if isinstance(function, str) else function
    if not callable(found):
        raise UserError(
            f"{name!r} cannot be called",
            rule="a function (image, rng) or (sample, rng)",
            received=f"{type(found).__name__}",
            fix="def darken(image, rng): ...",
        )
    try:
        signature = inspect.signature(found)
        signature.bind(None, None)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the function {name!r} cannot be called with two arguments: {error}",
            rule="(image, rng) or (sample, rng)",
            fix=f"def {name.rpartition(':')[2]}(image, rng): ...",
        ) from None
    return found, _argument_of(signature, name) if argument == "auto" else argument


def _argument_of(signature: inspect.Signature, name: str) -> str:
    first = next(iter(signature.parameters.values()))
    if first.annotation is not inspect.Parameter.empty:
        annotation = first.annotation
        text = annotation if isinstance(annotation, str) else repr(annotation)
        if annotation is Sample or text.rpartition(".")[2] == "Sample":
            return "sample"
        if "ndarray" in text or "NDArray" in text:
            return "image"
    for argument, names in (("image", _IMAGE_NAMES), ("sample", _SAMPLE_NAMES)):
        if first.name in names:
            return argument
    raise UserError(
        f"it is not known whether the function {name!r} takes an image or a sample",
        rule="a first parameter named image or sample, or the field `argument`",
        received=f"{name}{signature}",
        fix='argument="image"',
    )


def _read_only(image: np.ndarray) -> np.ndarray:
    image = image.view()
    image.flags.writeable = False
    return image


def _called(function: Callable[..., Any], given: Any, rng: np.random.Generator, name: str) -> Any:
    try:
        return function(given, rng)
    except Exception as error:
        # NumPy writes "read-only", OpenCV "readonly".
        text = str(error)
        if not isinstance(error, UserError) and ("read-only" in text or "readonly" in text):
            raise UserError(
                f"the function {name!r} changes its argument in place",
                rule="a new array, because decoded images are used again",
                fix="image = image.copy()  # in its first line",
            ) from error
        error.add_note(f"in the function {name!r} of a transform")
        raise


def _checked_image(found: Any, image: np.ndarray, name: str) -> np.ndarray:
    """Return the result of a function of an image."""
    if not isinstance(found, np.ndarray):
        raise _wrong(name, "an array", type(found).__name__, "return image")
    if found.dtype != image.dtype:
        fix = f"return np.clip(image, 0, 255).astype(np.{image.dtype})"
        if image.dtype != np.uint8:
            fix = f"return image.astype(np.{image.dtype})"
        raise _wrong(name, f"the dtype of its argument, {image.dtype}", str(found.dtype), fix)
    if found.shape != image.shape:
        raise _wrong(
            name,
            f"the shape of its argument, {image.shape}, because boxes and masks stay",
            str(found.shape),
            "def change(sample, rng): ...  # to change image and annotations, or write a Warp",
        )
    return found


def _checked_sample(found: Any, image: np.ndarray, name: str) -> Sample:
    """Return the result of a function of a sample."""
    if not isinstance(found, Sample):
        fix = "return dataclasses.replace(sample, image=image)"
        raise _wrong(name, "a Sample", type(found).__name__, fix)
    changed = found.image
    if not isinstance(changed, np.ndarray) or changed.ndim != 3:
        received = f"shape {np.shape(changed)}" if changed is not None else "None"
        raise _wrong(name, "a sample with an image (height, width, channels)", received,
                     "return dataclasses.replace(sample, image=image)")  # fmt: skip
    kept = (image.dtype, image.shape[2])
    if (changed.dtype, changed.shape[2]) != kept:
        raise _wrong(
            name,
            f"{image.dtype} with {image.shape[2]} channels, as in its argument",
            f"{changed.dtype} with {changed.shape[2]} channels",
            f"dataclasses.replace(sample, image=image.astype(np.{image.dtype}))",
        )
    if found.instances.size not in ((0, 0), changed.shape[:2]):
        raise _wrong(
            name,
            f"objects of the size of the image, {changed.shape[:2]}",
            str(found.instances.size),
            "instances = sample.instances.warp(matrix, image.shape[:2])",
        )
    return found


def _wrong(name: str, rule: str, received: str, fix: str) -> UserError:
    return UserError(
        f"the function {name!r} returns something else than expected",
        rule=rule,
        received=received,
        fix=fix,
    )
