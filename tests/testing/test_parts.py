"""Checks of parts: loss, decoding, paths and fields; whole models are reopened."""

import pytest
from tests import zoo_of_parts as zoo

import visiongarden as vg
from visiongarden.testing import check, check_many
from visiongarden.testing.arrays import leaves, packed

FAST = {
    zoo.CenterBoxes,
    zoo.LossRaises,
    zoo.CallableField,
    zoo.OneColumnTooMany,
}
ROLE = ("fields_used", "loss", "decode", "loss_decode")
OTHERS = [n for n in vg.testing.CHECKS if n not in (*ROLE, "stable_paths", "config_complete")]


def marked(classes):
    return [
        pytest.param(cls, id=cls.__name__, marks=() if cls in FAST else pytest.mark.slow)
        for cls in classes
    ]


@pytest.mark.parametrize("cls", marked(zoo.WRONG))
def test_the_bug_is_reported(cls):
    name, advice, config = zoo.WRONG[cls]
    skip = OTHERS if name in (*ROLE, "stable_paths", "config_complete") else ()
    report = check(cls, backends=(), config=config, skip=skip)
    assert report[name].status == "failed", report
    assert advice in report[name].advice
    assert not report.ok


def test_the_loss_and_the_decoding_of_a_head_are_run():
    report = check(zoo.Points, backends=(), num_classes=3, skip=OTHERS)
    assert report.ok, report
    assert report["loss"].evidence.startswith("terms box, class; a gradient for each of 6")
    assert report["loss_decode"].evidence == "3 of 3 fitted targets decode to themselves"
    assert not report.warnings


@pytest.mark.slow
def test_valid_parts_pass_and_reopen_within_a_model():
    items = [{"source": cls, "config": config} for cls, config in zoo.VALID.items()]
    for report in check_many(items, skip=("jit", "onnx")):
        assert report.ok, report
        assert report["reload"].status == "passed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "config"),
    [
        (vg.heads.AnchorFree, {"num_classes": 3, "bins": 4}),
        (vg.heads.AnchorBased, {"num_classes": 3}),
        (vg.heads.Decoupled, {"num_classes": 3}),
        (vg.heads.DualAssignment, {"num_classes": 3, "bins": 4}),
        (vg.heads.Classification, {"num_classes": 3}),
        (vg.heads.Segmentation, {"num_classes": 3, "levels": ("p3",)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_heads_agree_with_their_losses(head, config):
    report = check(head, backends=(), config=config, skip=OTHERS)
    assert report.ok, report
    assert {report[name].status for name in ROLE} == {"passed"}, report.findings


@pytest.mark.parametrize("cls", zoo.WARNED, ids=lambda cls: cls.__name__)
def test_an_unused_field_is_a_warning(cls):
    name, config = zoo.WARNED[cls]
    report = check(cls, backends=(), config=config, skip=OTHERS)
    assert report.ok, report
    assert [finding.check for finding in report.warnings] == [name]


@vg.register(package="zoo_of_parts")
class NamesInAnotherOrder(vg.heads.AnchorFree):
    """Returns raw predictions whose names are not sorted."""

    def wire(self, features):
        return {
            level: dict(sorted(maps.items(), reverse=True))
            for level, maps in super().wire(features).items()
        }


@pytest.mark.backends
def test_leaves_are_sorted_by_the_names_of_nested_mappings():
    tree = {"p4": {"b": 1, "a": [2, {"d": 3, "c": 4}]}, "p3": (5,)}
    assert leaves(tree) == [5, 2, 4, 3, 1]


@pytest.mark.backends
def test_leaves_can_be_packed():
    tree = {"p4": {"b": 1, "a": [2, {"d": 3, "c": 4}]}, "p3": (5,)}
    assert packed(tree, leaves(tree)) == tree


@pytest.mark.slow_backends
def test_the_loss_of_a_head_whose_names_are_not_sorted():
    skip = [name for name in vg.testing.CHECKS if name not in ("runs", "loss")]
    report = check(
        NamesInAnotherOrder, inputs={"p3": (2, 8, 12, 8)}, backends=(),
        config={"num_classes": 2, "bins": 4}, skip=skip,
    )  # fmt: skip
    assert report["loss"].status == "passed", report


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_head_whose_names_are_not_sorted_has_the_same_outputs_on_other_backends(backend):
    pytest.importorskip(backend)
    skip = [name for name in vg.testing.CHECKS if name not in ("runs", "backends")]
    report = check(
        NamesInAnotherOrder, inputs={"p3": (2, 8, 12, 8)}, backends=(backend,),
        config={"num_classes": 2, "bins": 4}, skip=skip,
    )  # fmt: skip
    assert report["backends"].status == "passed", report
