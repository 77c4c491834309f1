"""Results between processes: they arrive unchanged, and messages name no other class."""

import pickle

import numpy as np
import pytest

from visiongarden.evaluation.gathering import Evaluated, unpacked
from visiongarden.evaluation.result import EvaluationResult
from visiongarden.samples import Boxes, Instances, Masks
from visiongarden.tasks.task import Section
from visiongarden.types import ClassMap, LabelMap, Ranking, Segments, Values


def message(module, name):
    """The pickle of a global, which loading resolves."""
    texts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + b"".join(texts) + b"\x93."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("visiongarden.recipes.peers", "subprocess.Popen"),
        ("visiongarden.recipes.peers", "Engine"),
        ("visiongarden.samples.instances", "np.load"),
        ("visiongarden.samples.instances", "Boxes"),
        ("visiongarden.types", "np.ndarray.tofile"),
        ("visiongarden.types", "np"),
        ("visiongarden.typesetting", "X"),
        ("visiongarden.evaluation.gathering", "pickle.Unpickler"),
        ("numpy", "load"),
    ],
)
def test_a_message_names_no_other_class(module, name):
    with pytest.raises(pickle.UnpicklingError, match="is not a class of results"):
        unpacked(message(module, name))


def detections():
    bitmap = np.zeros((1, 8, 8), bool)
    bitmap[0, 2:4, 1:3] = True
    return Instances(
        (8, 8),
        boxes=Boxes(np.array([[1, 2, 3, 4]], np.float32)),
        classes=np.array([1]),
        scores=np.array([0.5], np.float32),
        masks=Masks.from_bitmaps(bitmap),
        class_map=ClassMap(("a", "b")),
    )


def test_results_of_every_task_arrive_unchanged():
    ranking = Ranking(np.array([1, 0]), np.array([0.75, 0.25], np.float32))
    segments = Segments(np.array([[1, 2]], np.uint8), np.array([[0.5, 1.0]], np.float32))
    values = Values(np.array([0.25], np.float32), LabelMap(("angle",), units=("rad",)))
    sent = Evaluated(3, [detections(), ranking, segments, values], {"box": np.array([1.5, 2.0])})
    (found,) = unpacked(pickle.dumps([sent]))
    assert found.number == 3
    np.testing.assert_array_equal(found.loss["box"], [1.5, 2.0])
    one, *others = found.results
    np.testing.assert_array_equal(np.asarray(one.boxes), np.asarray(detections().boxes))
    np.testing.assert_array_equal(one.masks.bitmaps(), detections().masks.bitmaps())
    assert one.class_map == ClassMap(("a", "b"))
    for before, after in zip(sent.results[1:], others, strict=True):
        assert type(after) is type(before)
        for name, array in vars(before).items():
            np.testing.assert_array_equal(vars(after)[name], array)


def test_an_evaluation_arrives_unchanged():
    section = Section("masks", ("class", "AP"), (("a", "0.250"),))
    sent = EvaluationResult({"AP": 0.5}, {"a": {"AP": 0.5}}, 3, sections=(section,))
    assert unpacked(pickle.dumps(sent)) == sent
