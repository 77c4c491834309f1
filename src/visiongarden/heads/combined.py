"""Several heads on the same feature maps, as one head."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, NonNegativeFloat, model_validator

from visiongarden.errors import ConfigError, ContractError, nearest
from visiongarden.losses import CombinedLoss, Loss
from visiongarden.parts import Head, OfClasses
from visiongarden.postprocess import CombinedDecoding, Decoding
from visiongarden.registry import register
from visiongarden.types import (
    ClassMap,
    FeatureMaps,
    FeatureSpec,
    LevelSpec,
    RawPredictions,
    stride_of,
)

HeadName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]


@register
class CombinedHeads(Head):
    """Several heads on the same feature maps; the head of a `MultiHead` model.

    Raw predictions, targets, terms of the loss, outputs and metrics carry the name of their head,
    such as "boxes/classes".

    Attributes:
        heads: heads by name; each has its own task, loss and decoding.
        loss_weights: factor of each head's loss, by name; 1 by default.
        class_maps: names of the classes of those heads whose classes are not those of the model's
            class map.

    Example:
        >>> heads = vg.heads.CombinedHeads(
        ...     heads={
        ...         "boxes": vg.heads.AnchorFree(num_classes=3, levels=("p3",)),
        ...         "kind": vg.heads.Classification(num_classes=2),
        ...     },
        ...     loss_weights={"kind": 0.1},
        ... )
        >>> shapes = heads.shapes(vg.backbones.CSPDarknet().spec(), image_size=(64, 64))
        >>> shapes["boxes"]["p3"]["classes"], shapes["kind"]["p5"]["classes"]
        ((None, 8, 8, 3), (None, 2))
    """

    task: ClassVar[str] = "multi_head"
    heads: Annotated[dict[HeadName, Head], Field(min_length=1, max_length=100)]
    loss_weights: dict[HeadName, NonNegativeFloat] = Field(default_factory=dict)
    class_maps: dict[HeadName, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for field in ("loss_weights", "class_maps"):
            unknown = [name for name in dict(self)[field] if name not in self.heads]
            if unknown:
                raise ConfigError(
                    f"{field} names {unknown[0]!r}, which is not a head",
                    rule="the names of the heads: " + ", ".join(self.heads),
                    fix=nearest(unknown[0], self.heads),
                )
        for name, names in self.class_maps.items():
            self._check_names(name, ClassMap(names))
        nested = [name for name, head in self.heads.items() if isinstance(head, CombinedHeads)]
        if nested:
            raise ConfigError(
                f"the head {nested[0]!r} consists of several heads",
                rule="heads of one task each",
                fix="name its heads beside the others",
            )
        for name, head in self.heads.items():
            if head.target_inputs:
                raise ConfigError(
                    f"the head {name!r} takes targets in the forward pass",
                    rule="heads that take feature maps alone can be combined",
                    received=f"target_inputs={head.target_inputs!r} of {type(head).__name__}",
                    fix="use this head as the only one of a model",
                )
        for name in ("loss", "assigner", "decoding"):
            if dict(self)[name] is not None:
                raise ConfigError(
                    f"the combined heads have a {name} of their own",
                    rule="each head has its own",
                    fix=f"set {name} of a head",
                )
        return self

    def _check_names(self, name: str, class_map: ClassMap) -> None:
        head = self.heads[name]
        if not isinstance(head, OfClasses):
            raise ConfigError(
                f"class_maps names the head {name!r}, which has no classes",
                rule="heads with num_classes",
                received=f"{head}",
                fix=f"leave out {name!r}",
            )
        head.check_classes(class_map)

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Check each head against the offered levels.

        Raises:
            ContractError: a head requires a level that is not offered, or does not fit otherwise.
        """
        for name, head in self.heads.items():
            wanted = head.levels or tuple(offered)
            if missing := [level for level in wanted if level not in offered]:
                raise ContractError(
                    f"head {name!r}, {head}, cannot follow {giver}",
                    wants=("levels", " ".join(wanted)),
                    offered=" ".join(offered),
                    fix=head.with_fields(levels=tuple(lv for lv in wanted if lv not in missing)),
                )
            head.check(FeatureSpec({level: offered[level] for level in wanted}), giver)

    def check_classes(self, class_map: ClassMap) -> None:
        """Refuse class names that do not fit the heads with classes."""
        for name, head in self.heads.items():
            if isinstance(head, OfClasses) and name not in self.class_maps:
                head.check_classes(class_map)

    def chosen_loss(self) -> Loss:
        """Return the loss of all heads.

        Raises:
            UserError: a head has no loss.
        """
        losses = {name: head.chosen_loss() for name, head in self.heads.items()}
        return CombinedLoss(losses=losses, weights=self.loss_weights)

    def chosen_decoding(self) -> Decoding:
        """Return the decoding of all heads.

        Raises:
            UserError: a head has no decoding.
        """
        decodings = {name: head.chosen_decoding() for name, head in self.heads.items()}
        return CombinedDecoding(decodings=decodings)

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build each head as a model of its own, whose name is that of the head.

        Returns:
            head -> level -> name -> tensor.
        """
        raw: dict[str, Any] = {}
        for name, head in self.heads.items():
            maps = {level: features[level] for level in head.levels or features}
            spec = {lv: LevelSpec(x.shape[-1], stride_of(lv)) for lv, x in maps.items()}
            level, x = next(iter(maps.items()))
            height, width = x.shape[1:3]
            stride = stride_of(level)  # noqa: VG202 (the name of a level, no tensor)
            is_open = height is None or width is None
            size = None if is_open else (height * stride, width * stride)
            model = head.as_model(FeatureSpec(spec), size, name=name)
            raw[name] = model(maps)
        return raw
