"""`connect`: every error names both sides, the mismatch and a fix."""

import pytest

import visiongarden as vg
from visiongarden import backbones, decoders, heads
from visiongarden.errors import ContractError, UserError
from visiongarden.types import ClassMap

HEAD = heads.AnchorFree(num_classes=3)
ANCHORS = heads.AnchorBased(num_classes=3)
CSP = backbones.CSPDarknet(width=0.25)
PAN = decoders.PathAggregation()
LOW = ("p2", "p3", "p4")

MISMATCHES = [
    # levels wanted by the decoder; the fix keeps the backbone's other fields
    (
        (backbones.ResNet(depth=50, levels=LOW), PAN, HEAD),
        {},
        ["decoder PathAggregation()", "backbone ResNet(", "p3 p4 p5", "p2 p3 p4"],
    ),
    # anchors against levels
    (
        (backbones.CSPDarknet(levels=LOW), decoders.FPN(levels=LOW), ANCHORS),
        {},
        ["head AnchorBased", "p3 p4 p5 (those of its anchors)", "p2 p3 p4"],
    ),
    # a backbone that makes a level nobody uses
    (
        (CSP, decoders.FPN(levels=("p3", "p4")), HEAD),
        {},
        ["decoder FPN(", "backbone CSPDarknet", "p3 p4 p5"],
    ),
    # classes
    (
        (CSP, PAN, HEAD),
        {"class_map": ClassMap(("cat", "dog"))},
        ["num_classes", "cat, dog", "AnchorFree(num_classes=2)"],
    ),
]


@pytest.mark.parametrize(("parts", "options", "words"), MISMATCHES)
def test_violations(parts, options, words):
    with pytest.raises(ContractError) as error:
        vg.connect(*parts, **options)
    text = str(error.value)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("parts", "options", "words"), MISMATCHES)
def test_the_fix_works_when_pasted(parts, options, words):
    with pytest.raises(ContractError) as error:
        vg.connect(*parts, **options)
    names = {
        n: getattr(capacity, n)
        for capacity in (backbones, decoders, heads)
        for n in capacity.__all__
    }
    fixed = eval(error.value.fix, names)  # noqa: S307  our own message
    by_role = {part.role: part for part in parts} | {fixed.role: fixed}
    vg.connect(*by_role.values(), **options)


@pytest.mark.parametrize(
    ("size", "near"),
    [((100, 64), "(96, 64) or (128, 64)"), ((0, 64), "(32, 64)"), ((10, 10), "(32, 32)")],
)
def test_image_size_names_the_next_good_ones(size, near):
    with pytest.raises(UserError) as error:
        vg.connect(CSP, PAN, HEAD, image_size=size)
    assert near in str(error.value)
    assert "32" in error.value.rule


def test_connection_describes_the_feature_maps():
    connection = vg.connect(CSP, decoders.FPN(channels=96), HEAD, image_size=(64, 64))
    assert [spec.channels for spec in connection.features.values()] == [64, 128, 256]
    assert [spec.channels for spec in connection.decoded.values()] == [96, 96, 96]
