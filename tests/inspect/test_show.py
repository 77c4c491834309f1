"""The figure names every stage, fits the terminal, and its numbers add up."""

from __future__ import annotations

from pathlib import Path

import pytest

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.inspect import show
from visiongarden.models import Detector


def detector(classes: tuple[str, ...] = ("cat", "dog")) -> Detector:
    return vg.Detector(
        vg.backbones.CSPDarknet(width=0.1),
        vg.decoders.PathAggregation(),
        vg.heads.AnchorFree(num_classes=len(classes), bins=4),
        image_size=64,
        class_map=classes,
    )


def test_text_of_a_large_model_fits_100_columns() -> None:
    with weightless():
        model = vg.Detector(
            vg.backbones.Darknet53(),
            vg.decoders.YOLOv3Decoder(),
            vg.heads.AnchorBased(num_classes=80),
        )
    text = str(show(model, 416))
    assert max(map(len, text.splitlines())) <= 100
    for piece in ("416 × 416 × 3", "DarknetStage ×8", "13 × 13 × 1024", "61,949,149"):
        assert piece in text
    assert text.splitlines()[-1].endswith("65.864 G)")


def test_rows_add_up_to_the_whole() -> None:
    figure = show(detector())
    assert sum(row.count.macs for row in figure.rows) == figure.count.macs
    assert sum(row.count.trainable for row in figure.rows) == figure.count.trainable
    assert sum(part.total for part in figure.parts.values()) == figure.count.total
    levels = [(row.part, row.level) for row in figure.rows if row.level]
    assert [level for part, level in levels if part == "backbone"] == ["p3", "p4", "p5"]
    assert sorted(level for part, level in levels if part == "decoder") == ["p3", "p4", "p5"]


@pytest.mark.slow
def test_a_file_is_shown_by_its_name(tmp_path: Path) -> None:
    model = detector()
    model.save(tmp_path / "cells.keras")
    figure = show(tmp_path / "cells.keras")
    assert figure.title == "Detector cells.keras, 2 classes (cat, dog)"
    assert (figure.image_size, figure.count) == ((64, 64), show(model).count)


def test_a_part_alone() -> None:
    figure = show(vg.backbones.ResNet(depth=18, levels=("p2", "p3")), 64)
    assert [row.stage for row in figure.rows if row.level] == ["stage2", "stage3"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model file .*none\.keras"):
        show(tmp_path / "none.keras")
