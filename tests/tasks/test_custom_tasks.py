"""Custom tasks: what each must have, and what is refused before training starts."""

import numpy as np
import pytest

import visiongarden as vg
from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.metrics.several import Metrics
from visiongarden.recipes import resolve
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.tasks import Task, task_of_fields
from visiongarden.types import ClassMap

MEMBERS = {
    "__module__": "garden.tasks", "name": "ripeness", "model": vg.Classifier, "needs": ("labels",),
    "outputs": ("scores",), "monitor": "MAE", "metrics": lambda self, class_map: [],
    "postprocess": lambda self, model, score=None, iou=None: None,
    "to_original": lambda self, found, placement, size: found,
}  # fmt: skip


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(registry, "_known", dict(registry._known))


def made(class_name="Ripeness", **changes):
    members = {name: value for name, value in (MEMBERS | changes).items() if value is not None}
    return vg.register(package="garden")(type(class_name, (Task,), members))


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "__module__"])
def test_a_missing_member_is_named(name):
    made(**{name: None})
    with pytest.raises(UserError) as caught:
        Task.find("detection")
    assert caught.value.what == f"the task garden.tasks.Ripeness has no {name!r}"
    assert name in caught.value.fix


def test_two_tasks_of_one_name_are_refused():
    made(name="detection")
    with pytest.raises(UserError, match="the name 'detection' is that of two classes") as caught:
        Task.find("detection")
    assert "garden.tasks.Ripeness" in caught.value.what
    assert caught.value.fix == 'name = "my_detection"'


def test_a_task_that_suits_no_data_is_used_only_by_name():
    kind = made()
    assert Task.find("ripeness") is kind is Task.find(["garden.tasks", "Ripeness"][1])
    assert task_of_fields(frozenset({"boxes"}), "images").name == "detection"


def test_a_task_that_suits_better_is_chosen():
    made(matches=lambda self, fields, dataset=None: 1.0 if "labels" in fields else 0.0)
    assert task_of_fields(frozenset({"labels"}), "images").name == "ripeness"


def test_a_recipe_needs_no_decoder_for_a_classifier_and_no_classes_for_a_head_without():
    made()

    @vg.register(package="garden")
    class RipenessLoss(vg.losses.Loss):
        terms = targets = ("ripeness",)

    @vg.register(package="garden")
    class RipenessHead(vg.Head):
        task = "ripeness"
        loss: vg.losses.Loss = RipenessLoss()
        decoding: vg.postprocess.Decoding = vg.postprocess.SoftmaxDecoding()

    recipe = resolve(
        {
            "model": {"backbone": {"type": "CSPDarknet"}, "head": {"type": "RipenessHead"}},
            "data": {"path": "images"},
            "training": {"epochs": 1, "batch_size": 4},
            "transforms": [],
        }
    )
    assert recipe.model.decoder == vg.decoders.PassOn(levels=("p5",))
    assert recipe.model.head == RipenessHead()
    assert recipe.kind.name == "ripeness"


def test_a_model_that_needs_a_decoder_is_refused_without_one():
    made(model=vg.Detector)
    fields = {"backbone": {"type": "CSPDarknet"}, "head": {"type": "AnchorFree", "num_classes": 1}}
    with pytest.raises(UserError, match=r"model\.decoder: is missing"):
        resolve({"model": fields, "data": {"path": "images"}, "task": "ripeness"})


def test_what_a_task_does_not_define_is_named():
    task = made()()
    for call in (
        task.defaults,
        lambda: task.ground_truth_of({}, 0, (8, 8), 0),
        lambda: task.arrays([], []),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.fix
        assert "ripeness" in caught.value.what


def test_a_metric_without_reset_state_is_refused():
    class Found:
        name = "found"

        def update_state(self, y_true, y_pred, sample_weight=None): ...

        def result(self):
            return 0.0

    with pytest.raises(UserError, match=r"no method reset_state\(\)") as caught:
        Metrics([Found()], made()().arrays)
    assert caught.value.fix == "def reset_state(self): ..."


def test_default_targets_are_all_annotations():
    objects = Instances((8, 8), Boxes([[1, 2, 5, 6]]), [0])
    sample = Sample(ImageInfo(0, None, (8, 8)), np.zeros((8, 8, 3), np.uint8), instances=objects)
    targets = made()().to_targets(sample, 2)
    assert targets["boxes"].tolist() == [[1, 2, 5, 6], [0, 0, 0, 0]]
    assert targets["classes"].tolist() == [0, -1]


def test_a_result_is_converted_to_the_order_of_a_dataset():
    found = vg.types.Ranking(np.array([2, 0]), np.array([0.9, 0.1], np.float32))
    other = made()().renumbered(found, np.array([1, 2, 0]), ClassMap(("b", "c", "a")))
    assert (other.classes.tolist(), other.class_map.names) == ([0, 1], ("b", "c", "a"))
