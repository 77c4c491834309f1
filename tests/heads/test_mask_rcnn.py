"""Mask R-CNN: published parameters, proposals, sampling, losses against PyTorch, pasted masks."""

import functools

import keras
import numpy as np
import pytest
import torch
from keras import ops as k
from tests.shared import for_one_step

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ConfigError, UserError
from visiongarden.heads.region_proposals import (
    ProposeRegions,
    SampleRegions,
    SamplingOrder,
    SelectRegions,
)
from visiongarden.losses import quotients
from visiongarden.postprocess import Nms, nms_keeps, pasted_masks
from visiongarden.testing.instances import randomize
from visiongarden.types import FeatureSpec, HeadContext, LevelSpec

SIZE = (64, 96)
BOXES = np.array([[[4, 6, 40, 34], [33, 10, 90, 62]], [[10, 10, 42, 44], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[0, 1], [1, -1]], np.int32)
MASKS = np.zeros((2, 2, 16, 24), np.uint8)
MASKS[0, 0, 2:8, 1:9] = 1
MASKS[0, 1, 4:12, 10:20] = 1
MASKS[1, 0, 3:9, 4:10] = 1
TARGETS = {"boxes": BOXES, "classes": CLASSES, "masks": MASKS}
SMALL = {
    "num_classes": 2,
    "filters": 8,
    "anchor_size": 4,
    "proposals_per_level": 40,
    "proposals": 30,
    "regions": 16,
    "box_units": 16,
    "box_size": 3,
    "mask_size": 5,
    "mask_convs": 1,
    "detections": 6,
}


def small(**fields):
    return vg.Detector(
        vg.backbones.CSPDarknet(width=0.125, depth=0.33, levels=("p3", "p4")),
        vg.decoders.FPN(channels=8, levels=("p3", "p4")),
        vg.heads.MaskRCNN(**SMALL | fields),
        image_size=SIZE,
        class_map=("cat", "dog"),
    )


@functools.cache
def images():
    return np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.uint8)


def boxes_of(rng, count, side=60):
    low = rng.uniform(0, side, (count, 2))
    return np.concatenate([low, low + rng.uniform(8, 40, (count, 2))], -1).astype("f4")


@pytest.mark.slow  # also verified by the card
def test_parameters_are_those_of_the_published_model():
    """torchvision's maskrcnn_resnet50_fpn counts the background among its 91 classes."""
    with weightless():
        model = vg.Detector(
            vg.backbones.ResNet(depth=50, levels=("p2", "p3", "p4", "p5")),
            vg.decoders.FPN(
                levels=("p2", "p3", "p4", "p5"), extra_levels=1, extra_levels_by="max_pooling"
            ),
            vg.heads.MaskRCNN(num_classes=90, background_outputs=True),
            image_size=(256, 256),
        )
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count - 53_120 == 44_401_393  # batch normalization is frozen there


@pytest.mark.backends
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_suppression_in_the_graph_is_that_of_the_greedy_algorithm(iou):
    rng = np.random.default_rng(0)
    boxes = np.stack([boxes_of(rng, 200), boxes_of(rng, 200, side=15)])
    scores = np.linspace(1, 0.5, 200, dtype=np.float32)[:, None]
    nms = Nms(score_threshold=0, iou_threshold=iou)
    found = k.convert_to_numpy(nms_keeps(boxes, iou))
    for image in range(2):
        rows = nms.selected(boxes[image], scores)[0]
        assert np.flatnonzero(found[image]).tolist() == sorted(rows.tolist())


def chain():
    """60 boxes, each of which overlaps its neighbors by more than half."""
    left = 3.0 * np.arange(60, dtype=np.float32)
    return np.stack([left, 0 * left, left + 10, 0 * left + 10], -1)


@keras.saving.register_keras_serializable("test_mask_rcnn")
class Keeps(keras.layers.Layer):
    """The suppression alone."""

    def call(self, boxes):
        return nms_keeps(boxes, 0.5)

    def compute_output_shape(self, shape):
        return shape[:-1]


@pytest.mark.backends
def test_a_chain_of_boxes_is_decided_to_its_end():
    """Each box depends on the decision on the one before: IoU 7/13 with it, 4/16 with the next."""
    boxes = chain()
    rows = Nms(score_threshold=0, iou_threshold=0.5).selected(
        boxes, np.linspace(1, 0.5, 60, dtype=np.float32)[:, None]
    )[0]
    # The second image has the boxes all at one place, which is decided in two rounds.
    found = k.convert_to_numpy(nms_keeps(np.stack([boxes, boxes[:1].repeat(60, 0)]), 0.5))
    assert sorted(rows.tolist()) == list(range(0, 60, 2))
    assert found[0].tolist() == [1, 0] * 30
    assert found[1].tolist() == [1] + [0] * 59


@pytest.mark.filterwarnings("ignore")  # of tf2onnx
def test_an_exported_file_decides_a_chain_to_its_end(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    boxes = keras.Input((60, 4))
    model = keras.Model(boxes, Keeps(name="keeps")(boxes))
    given, file = np.stack([chain(), chain()[::-1]]), str(tmp_path / "keeps.onnx")
    model.predict_on_batch(given)  # Keras exports a model that was called
    model.export(file, format="onnx", verbose=False)
    session = runtime.InferenceSession(file)
    (found,) = session.run(None, {session.get_inputs()[0].name: given})
    assert found.tolist() == [[1, 0] * 30] * 2


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9]]], np.float32)
    found = nms_keeps(boxes, 0.5, classes=np.array([[0, 1, 0]]))
    assert k.convert_to_numpy(found).tolist() == [[1, 1, 0]]


@pytest.mark.backends
def test_proposals_are_the_best_anchors_of_each_level():
    shapes = {"p3": [[16.0, 16.0]], "p4": [[32.0, 32.0]]}
    layer = ProposeRegions(shapes, (32, 32), per_level=2, count=3, nms_iou=0.5)
    objectness = [np.zeros((1, 4, 4, 1), "f4"), np.zeros((1, 2, 2, 1), "f4")]
    deltas = [np.zeros((1, 4, 4, 1, 4), "f4"), np.zeros((1, 2, 2, 1, 4), "f4")]
    # Row 1, column 1 is centered at (12, 12); row 3, column 3 at (28, 28), cut off at 32.
    objectness[0][0, 1, 1], objectness[0][0, 3, 3], objectness[0][0, 0, 3] = 2, 3, 1
    objectness[1][0, 0, 0], objectness[1][0, 0, 1] = 5, 4
    deltas[1][0, 0, 1] = [[0, 0.25, 0, np.log(0.5)]]  # centered at (24, 16), 32 × 16
    found = k.convert_to_numpy(layer(objectness, deltas))[0]
    np.testing.assert_allclose(found, [[0, 0, 24, 24], [8, 8, 32, 24], [20, 20, 32, 32]], atol=1e-4)


def test_proposals_that_are_missing_are_boxes_without_area():
    layer = ProposeRegions({"p3": [[16.0, 16.0]]}, (16, 16), count=4, nms_iou=0.01)
    found = layer([np.zeros((1, 2, 2, 1), "f4")], [np.zeros((1, 2, 2, 1, 4), "f4")])
    found = k.convert_to_numpy(found)[0]
    assert found[0].any()
    assert not found[1:].any()


@pytest.mark.backends
def test_sampled_regions_contain_the_ground_truth_and_few_positives():
    rng = np.random.default_rng(0)
    near = BOXES[0, 0] + rng.uniform(-1, 1, (20, 4))  # IoU above 0.8
    far = boxes_of(rng, 20, side=5) + np.array([0, 36, 0, 20])
    proposals = np.stack([np.concatenate([near, far])] * 2).astype("f4")
    layer = SampleRegions(count=16, positive_share=0.25, seed=1)
    seen = []
    for _ in range(12):
        found = k.convert_to_numpy(layer(proposals, BOXES, CLASSES, training=True))
        assert found.shape == (2, 16, 4)
        matched = vg.ops.match_regions(found[:1], BOXES[:1], CLASSES[:1], 0.5)
        positive = k.convert_to_numpy(matched.positive)[0]
        assert positive.tolist() == [1] * 4 + [0] * 12
        seen.append(found[0])
    for box in BOXES[0]:
        assert any((regions == box).all(-1).any() for regions in seen)
    assert any(not np.array_equal(seen[0], each) for each in seen[1:])
    # The same seed gives the same regions; without targets, proposals are unchanged.
    again = SampleRegions(count=16, positive_share=0.25, seed=1)
    np.testing.assert_array_equal(
        k.convert_to_numpy(again(proposals, BOXES, CLASSES, training=True))[0], seen[0]
    )
    assert np.array_equal(k.convert_to_numpy(layer(proposals, BOXES, CLASSES)), proposals)


def test_detections_are_suppressed_class_by_class():
    regions = np.array([[[0, 0, 20, 20], [0, 0, 20, 19], [40, 0, 60, 20]]], np.float32)
    scores = np.array([[[0.9, 0.3], [0.8, 0.4], [0.1, 0.7]]], np.float32)
    layer = SelectRegions(SIZE, (10, 10, 5, 5), count=4, nms_iou=0.5)
    boxes, rows, classes = map(
        k.convert_to_numpy, layer(regions, scores, np.zeros((1, 3, 2, 4), "f4"))
    )
    assert rows.tolist() == [[0, 2, 1, 2]]
    assert classes.tolist() == [[0, 1, 1, 0]]
    np.testing.assert_allclose(boxes[0], regions[0][[0, 2, 1, 2]])


def test_anchors_are_sampled_in_another_order_in_each_step():
    layer, x = SamplingOrder(seed=0), np.zeros((2, 3, 4, 2), "f4")
    one, two = (k.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert not np.array_equal(one, two)
    fixed = [k.convert_to_numpy(layer(x)) for _ in range(2)]
    assert np.array_equal(*fixed)
    assert len(np.unique(fixed[0][0])) == 24


LEVELS = FeatureSpec({"p3": LevelSpec(8, 8), "p4": LevelSpec(8, 16)})


def raw_maps(head, rng):
    """Random raw predictions, with regions around the objects as in training."""
    shapes = head.shapes(LEVELS, SIZE)
    raw = {
        level: {n: rng.normal(0, 1, (2, *shape[1:])).astype("f4") for n, shape in tensors.items()}
        for level, tensors in shapes.items()
    }
    for tensors in raw.values():
        tensors["order"] = rng.permutation(tensors["order"].size).reshape(tensors["order"].shape)
    regions = np.zeros((2, 30, 4), "f4")
    for image in range(2):
        regions[image, :6] = BOXES[image, 0] + rng.uniform(-3, 3, (6, 4))
        regions[image, 6:25] = boxes_of(rng, 19)
    regions[0, 25] = BOXES[0, 1]
    raw["p3"] |= {"regions": regions, "mask_regions": regions[:, :6]}
    return raw


def iou_of(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared, 1e-9)


def deltas_of(box, region, weights):
    size, center = region[2:] - region[:2], (region[:2] + region[2:]) / 2
    moved = ((box[:2] + box[2:]) / 2 - center) / size
    return np.concatenate([moved, np.log((box[2:] - box[:2]) / size)]) * weights


@pytest.mark.parametrize("background", [False, True])
def test_terms_of_regions_equal_those_of_torch(background):
    head = vg.heads.MaskRCNN(**SMALL | {"background_outputs": background})
    rng = np.random.default_rng(0)
    raw = raw_maps(head, rng)
    found = quotients(head.loss(raw, TARGETS, HeadContext(head, SIZE, LEVELS)))
    fine = raw["p3"]
    entropy, apart, regions = 0.0, 0.0, 0
    for image in range(2):
        for row, region in enumerate(fine["regions"][image]):
            if not region.any():
                continue
            regions += 1
            ious = [
                iou_of(region, b) * (c >= 0)
                for b, c in zip(BOXES[image], CLASSES[image], strict=True)
            ]
            best = int(np.argmax(ious))
            label = CLASSES[image, best] + 1 if ious[best] >= 0.5 else 0
            logits = torch.tensor(fine["region_classes"][image, row])
            entropy += float(torch.nn.functional.cross_entropy(logits, torch.tensor(int(label))))
            if label:
                column = label - 1 + background
                wanted = deltas_of(BOXES[image, best], region, np.array([10, 10, 5, 5]))
                apart += float(
                    torch.nn.functional.smooth_l1_loss(
                        torch.tensor(fine["region_boxes"][image, row, column]),
                        torch.tensor(wanted, dtype=torch.float32),
                        beta=1 / 9,
                        reduction="sum",
                    )
                )
    assert float(found["class"]) == pytest.approx(entropy / regions, rel=1e-4)
    assert float(found["box"]) == pytest.approx(apart / regions, rel=1e-4)


def test_the_mask_term_compares_the_mask_of_the_class_inside_each_region():
    head = vg.heads.MaskRCNN(**SMALL)
    raw = raw_maps(head, np.random.default_rng(0))
    # A region of 10 × 10 cells of 4 pixels: the bins of the head are the cells of the mask.
    raw["p3"]["mask_regions"][:] = 0
    raw["p3"]["mask_regions"][0, 0] = [4, 4, 44, 44]
    found = quotients(head.loss(raw, TARGETS, HeadContext(head, SIZE, LEVELS)))
    wanted = torch.tensor(MASKS[0, 0, 1:11, 1:11], dtype=torch.float32)
    logits = torch.tensor(raw["p3"]["masks"][0, 0, ..., 0])
    # Two samples of a bin, at a quarter of a cell from its center: interpolated with the neighbors.
    kernel = torch.tensor([0.125, 0.75, 0.125])
    padded = torch.tensor(MASKS[0, 0, 0:12, 0:12], dtype=torch.float32)[None, None]
    smooth = torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])[0, 0]
    assert wanted.shape == smooth.shape
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, smooth)
    assert float(found["mask"]) == pytest.approx(float(entropy), rel=1e-4)


def test_as_many_anchors_are_sampled_as_published():
    head = vg.heads.MaskRCNN(**SMALL, loss={"anchors_per_image": 20})
    raw = raw_maps(head, np.random.default_rng(0))
    context = HeadContext(head, SIZE, LEVELS)
    terms = head.loss(raw, TARGETS, context)
    assert float(terms["objectness"].count) == 40
    # Only sampled anchors contribute to the loss.
    positive, negative = head.loss._sampled(
        k.convert_to_tensor(np.array([[0, 0, 0, -1, -1, -2, -1, -1]])),
        k.convert_to_tensor(np.array([[5, 9, 7, 1, 2, 8, 4, 3]], "f4")),
    )
    assert k.convert_to_numpy(positive).tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]
    assert k.convert_to_numpy(negative).tolist() == [[0, 0, 0, 1, 1, 0, 1, 1]]
    few = head.loss.replace(anchors_per_image=4)
    positive, negative = few._sampled(
        k.convert_to_tensor(np.array([[0, 0, 0, -1, -1, -2, -1, -1]])),
        k.convert_to_tensor(np.array([[5, 9, 7, 1, 2, 8, 4, 3]], "f4")),
    )
    assert k.convert_to_numpy(positive).tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]]
    assert k.convert_to_numpy(negative).tolist() == [[0, 0, 0, 0, 0, 0, 1, 1]]


def test_classes_that_are_not_annotated_have_no_gradient():
    head = vg.heads.MaskRCNN(**SMALL)
    raw = raw_maps(head, np.random.default_rng(0))
    context = HeadContext(head, SIZE, LEVELS)
    known = TARGETS | {"known_classes": np.array([[True, False], [True, True]])}
    one = float(head.loss(raw, known, context)["class"].total)
    raw["p3"]["region_classes"][0, :25, 2] += 3
    assert float(head.loss(raw, known, context)["class"].total) == pytest.approx(one, rel=1e-2)


def test_masks_are_pasted_at_the_places_of_their_boxes():
    masks = np.ones((2, 4, 4))
    masks[1, :, :2] = 0
    boxes = np.array([[2, 1, 6, 3], [10, 0, 18, 8.0]])
    found = pasted_masks(boxes, masks, (10, 20)).bitmaps()
    wanted = np.zeros((2, 10, 20), bool)
    wanted[0, 1:3, 2:6] = True
    wanted[1, 0:8, 14:18] = True
    assert np.array_equal(found, wanted)


def test_a_cascade_has_a_box_head_for_each_stage():
    head = vg.heads.MaskRCNN(**SMALL | {"cascade": (0.5, 0.6, 0.7)})
    shapes = head.shapes(LEVELS, SIZE)["p3"]
    assert shapes["region_boxes_3"] == (None, 30, 1, 4)
    assert shapes["region_classes_2"] == (None, 30, 3)
    assert head.stage_weights(2) == (30, 30, 15, 15)
    with pytest.raises(ConfigError, match="ascending order"):
        vg.heads.MaskRCNN(num_classes=2, cascade=(0.7, 0.5))


def test_unknown_sizes_and_levels_are_errors():
    with pytest.raises(UserError, match="a known image size"):
        vg.heads.MaskRCNN(num_classes=2).as_model(LEVELS)
    with pytest.raises(UserError, match="region_levels has p2"):
        vg.heads.MaskRCNN(num_classes=2, region_levels=("p2",)).shapes(LEVELS, SIZE)


@pytest.mark.slow
def test_a_model_trains_evaluates_predicts_and_reopens(tmp_path):
    model = small()
    model.compile(keras.optimizers.SGD(1e-3), **for_one_step())
    before = model.get_weights()
    history = model.fit(
        images(), TARGETS, batch_size=2, verbose=0, validation_data=(images(), TARGETS)
    )
    assert {"AP", "mask_AP"} <= {name.removeprefix("val_") for name in history.history}
    assert all(np.isfinite(values).all() for values in history.history.values())
    moved = [
        weight.path
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if not np.array_equal(old, new)
    ]
    parts = ("rpn_conv", "rpn_boxes", "box_fc1", "box_deltas", "mask_head/deconv", "mask_head/out")
    for part in parts:
        assert any(part in path for path in moved), part
    (found,) = model.detect(images()[0], score=0.0)
    assert found.masks is not None
    assert 0 < len(found) <= 6
    model.save(tmp_path / "model.keras")
    raw = model.predict_on_batch(images())
    for load in (vg.load, keras.saving.load_model):
        again = load(tmp_path / "model.keras").predict_on_batch(images())
        for one, other in zip(keras.tree.flatten(raw), keras.tree.flatten(again), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_an_exported_file_has_the_same_detections_and_masks(tmp_path):
    pytest.importorskip("onnxruntime")
    model = small()
    randomize(model)
    result = vg.export(model, tmp_path / "model.onnx")
    assert result.parity.agrees
    assert result.parity.masks < 1e-3
    for image in images():
        (one,), (other,) = (vg.predict(each, image, score=0.0) for each in (model, result.path))
        assert len(one) == len(other) > 0
        order = [np.lexsort((*np.asarray(x.boxes).round(1).T, x.classes)) for x in (one, other)]
        one, other = one[order[0]], other[order[1]]
        np.testing.assert_allclose(np.asarray(one.boxes), np.asarray(other.boxes), atol=1e-2)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        different = one.masks.bitmaps() != other.masks.bitmaps()
        assert different.mean() < 1e-3  # a pixel of a probability of one half


@pytest.mark.slow
def test_training_lowers_the_loss():
    keras.utils.set_random_seed(0)
    model = small(regions=32)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=keras.backend.backend() == "jax")
    history = model.fit(images(), TARGETS, batch_size=2, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.75 * history["loss"][0]
    for term in ("objectness", "class", "mask"):
        assert history[term][-1] < history[term][0], term
