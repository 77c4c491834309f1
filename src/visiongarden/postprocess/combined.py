"""Decoding of several heads: the arrays of each, named after it."""

from __future__ import annotations

from typing import Any, cast

from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Tensor


@register
class CombinedDecoding(Decoding):
    """Arrays of several heads, such as "boxes/scores" of the head "boxes".

    Attributes:
        decodings: decoding of each head, by the head's name.

    Example:
        >>> heads = {"kind": vg.heads.Classification(num_classes=3)}
        >>> vg.heads.CombinedHeads(heads=heads).chosen_decoding().outputs
        ('kind/scores',)
    """

    decodings: dict[str, Decoding]

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]  # a constant of others
        """Names of the arrays, `head/output`."""
        pairs = self.decodings.items()
        return tuple(f"{name}/{output}" for name, each in pairs for output in each.outputs)

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return the arrays of all heads.

        Args:
            raw: head -> raw predictions of the head.
            context: the context of the combined heads.
        """
        found: dict[str, Tensor] = {}
        for name, decoding in self.decodings.items():
            arrays = decoding(cast(Any, raw)[name], context.of_head(name))
            found |= {f"{name}/{output}": arrays[output] for output in decoding.outputs}
        return found
