"""Checks of components that are neither layers nor parts: each finds its bug, and no other."""

import keras
import numpy as np
import pytest
from tests.zoo_of_wrong_components import WRONG, Lines, Whole

import visiongarden as vg
from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.kinds import KINDS
from visiongarden.testing import assert_valid, check_component, discover
from visiongarden.testing.checks.tasks import TaskSubject
from visiongarden.testing.component_checking import _CHECKERS, kind_of, names
from visiongarden.testing.subject import Subject

AS_LAYERS = {"layer", "block", "backbone", "decoder", "head"}


@pytest.fixture
def register(monkeypatch):
    """Register classes for one test: some of them would break others."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    objects = keras.saving.get_custom_objects()
    before = dict(objects)
    yield vg.register(package="wrong")
    objects.clear()
    objects.update(before)


@pytest.mark.parametrize(
    "name",
    # A sixth of them in the quick tests.
    [pytest.param(n, marks=[pytest.mark.slow] if i % 6 else []) for i, n in enumerate(WRONG)],
)
def test_the_check_finds_the_bug(name, register):
    component, check = WRONG[name]
    if check != "registered" and isinstance(component, type):
        register(component)
        if issubclass(component, Whole):
            register(Lines)
    report = check_component(component)
    assert [f.check for f in report.failures][:1] == [check], str(report)
    assert report[check].advice


def test_every_kind_and_every_check_is_tested():
    assert set(_CHECKERS) == set(KINDS) - AS_LAYERS
    planted = {check for _, check in WRONG.values()}
    transforms = set(_CHECKERS["transform"].checks)
    # A Typed value always has a round trip; an example dataset without masks loses none.
    assert set(names()) - planted - transforms <= {"round_trip", "loss_reported"}


VALID = [
    vg.losses.ClassificationLoss(label_smoothing=0.1),
    vg.losses.Focal,
    vg.losses.GIoU(),
    vg.losses.Tversky,
    vg.assigners.SimOTA,
    vg.postprocess.SigmoidDecoding,
    vg.transforms.Grayscale,
    vg.data.writers.Writer.find("ClassFoldersWriter"),
    vg.tasks.ClassificationTask,
    vg.metrics.MeanIoU,
    keras.metrics.CategoricalAccuracy,
    vg.training.WarmupCosine,
]


@pytest.mark.parametrize("component", VALID, ids=lambda c: getattr(c, "__name__", type(c).__name__))
def test_components_of_visiongarden_are_valid(component):
    assert_valid(component)


def test_a_reader_and_a_writer_that_reports_what_it_loses_are_valid(register):
    assert check_component(register(Lines)).ok
    assert check_component(register(Whole)).ok


def test_a_dataset_is_an_input_of_a_reader(tmp_path):
    from visiongarden.scenes import make_scenes

    make_scenes(tmp_path / "scenes", 3, (32, 32))
    report = vg.check(vg.data.readers.Reader.find("COCO"), tmp_path / "scenes")
    assert report.ok, report
    assert "3 images" in report["reads"].evidence or "train" in report["reads"].evidence
    # Without a dataset, what was not checked is a warning.
    assert vg.check(vg.data.readers.Reader.find("COCO")).warnings


def test_a_module_contains_components_of_every_kind():
    found = discover("tests.zoo_of_wrong_components")
    kinds = {kind_of(value) for value in found}
    assert kinds >= {
        "loss", "assigner", "decoding", "reader", "writer", "exporter", "task", "optimizer",
        "schedule", "callback", "initializer", "activation",
    }  # fmt: skip


def test_a_metric_that_no_recipe_can_name_is_a_warning(register):
    assert {f.check for f in check_component(vg.metrics.MeanIoU).warnings} == {"registered"}
    report = check_component(register(type("Own", (vg.metrics.MeanIoU,), {"__module__": __name__})))
    assert {f.check for f in report.warnings} == {"named"}
    assert report.ok


def test_other_classes_are_refused():
    with pytest.raises(UserError, match="cannot be checked"):
        vg.check(dict)
    with pytest.raises(UserError, match="cannot be checked"):
        check_component(vg.backbones.CSPDarknet)


def test_a_loss_of_unknown_targets_needs_example_targets(register):
    @register
    class Slope(vg.losses.Loss):
        terms = targets = ("test_slope",)

        def __call__(self, raw, targets, context):
            raise NotImplementedError

    @register
    class SlopeHead(vg.heads.Classification):
        loss: vg.losses.Loss = Slope()

    report = str(vg.check(Slope, backends=()))
    assert "no head has example targets with the names that the loss Slope needs" in report
    assert "'test_slope' in the `example_targets` of the task 'classification'" in report
    assert 'examples: ClassVar = {"targets": {"test_slope": …}} in class SlopeHead' in report


def test_samples_of_a_task_have_rotated_boxes_if_it_needs_them():
    class Longest(vg.tasks.ClassificationTask):
        name, needs = "test_longest", ("rotated",)

    subject = TaskSubject(Longest)
    subject.__dict__["head"] = Subject(vg.heads.Classification(num_classes=2))
    boxes = subject.sample(3).instances.boxes
    # Corners (4, 4, 30, 24) are a box of 26 × 20 around (17, 14).
    assert np.asarray(boxes)[0].tolist() == [17, 14, 26, 20, 30]
