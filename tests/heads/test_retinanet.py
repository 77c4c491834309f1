"""RetinaNet: parameters as published, anchors, deltas, loss against PyTorch's functions."""

import keras
import numpy as np
import pytest
import torch
from keras import ops as k
from tests.shared import for_one_step

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ConfigError, ContractError
from visiongarden.losses import quotients
from visiongarden.ops import boxes_to_deltas, deltas_to_boxes
from visiongarden.types import FeatureSpec, HeadContext, LevelSpec

SIZE = (64, 96)
LEVELS = FeatureSpec({"p3": LevelSpec(8, 8), "p6": LevelSpec(8, 64)})
HEAD = vg.heads.RetinaNetHead(num_classes=3, filters=8, repeats=1, assigner={"negative": 0.3})
BOXES = np.array([[[4, 6, 40, 34], [33, 10, 90, 62]], [[10, 10, 42, 44], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[0, 2], [1, -1]], np.int32)


def small(**fields):
    return vg.Detector(
        vg.backbones.ResNet(depth=18),
        vg.decoders.FPN(channels=16, extra_levels=2),
        vg.heads.RetinaNetHead(num_classes=2, filters=16, repeats=2, **fields),
        image_size=SIZE,
        class_map=("cat", "dog"),
    )


@pytest.mark.parametrize(
    ("source", "norm", "published"),
    [("output", "none", 34_014_999), ("input", "group", 38_198_935 - 53_120)],
)
def test_parameters_are_those_of_the_published_models(source, norm, published):
    """torchvision's retinanet_resnet50_fpn and _v2; the former does not count batch norm."""
    with weightless():
        model = vg.Detector(
            vg.backbones.ResNet(depth=50),
            vg.decoders.FPN(extra_levels=2, extra_levels_from=source),
            vg.heads.RetinaNetHead(num_classes=91, norm=norm),
        )
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count - 53_120 == published


def test_anchors_have_the_published_sizes():
    head = vg.heads.RetinaNetHead(num_classes=1)
    for level, side in (("p3", 32), ("p7", 512)):
        shapes = head.anchor_shapes(level)
        sides = [side, side * 2 ** (1 / 3), side * 2 ** (2 / 3)]
        assert np.sqrt(shapes.prod(-1)) == pytest.approx(np.tile(sides, 3), rel=1e-6)
        assert shapes[:, 1] / shapes[:, 0] == pytest.approx(np.repeat([0.5, 1, 2], 3), rel=1e-6)
    # Cell anchors of torchvision's AnchorGenerator for sizes (32, 40, 50), times two.
    rounded = head.replace(anchor_rounding=True).anchor_shapes("p3").tolist()
    assert rounded == [
        *([46, 22], [56, 28], [70, 36], [32, 32], [40, 40], [50, 50], [22, 46], [28, 56], [36, 70]),
    ]


@pytest.mark.parametrize(("offset", "center"), [(0.5, (12.0, 20.0)), (0.0, (8.0, 16.0))])
def test_centers_of_anchors(offset, center):
    head = HEAD.replace(anchor_offset=offset)
    grid = head.grid(LEVELS, SIZE)
    row = (2 * 12 + 1) * 9  # the second column of the third row of p3
    assert head.anchor_centers(grid)[row].tolist() == list(center)


def test_deltas_by_hand_and_back():
    anchor = np.array([20.0, 30.0], np.float32), np.array([16.0, 32.0], np.float32)
    box = np.array([16.0, 22, 48, 38], np.float32)  # center (32, 30), 32 × 16
    weights = (10.0, 10.0, 5.0, 5.0)
    deltas = k.convert_to_numpy(boxes_to_deltas(box, *anchor, weights))
    assert deltas == pytest.approx([7.5, 0, 5 * np.log(2), -5 * np.log(2)], rel=1e-6)
    assert k.convert_to_numpy(deltas_to_boxes(deltas, *anchor, weights)) == pytest.approx(box)


def raw_maps(seed=0):
    rng = np.random.default_rng(seed)
    return {
        level: {
            name: rng.normal(0, 1, (2, *shape[1:])).astype(np.float32)
            for name, shape in tensors.items()
        }
        for level, tensors in HEAD.shapes(LEVELS, SIZE).items()
    }


def by_torch(raw, beta, box_gain=1.0):
    """The loss in PyTorch's functions, with the assignment of `MaxIoU` alone taken from us."""
    grid = HEAD.grid(LEVELS, SIZE)
    centers, sizes = HEAD.anchor_centers(grid), grid.anchors
    found = HEAD.assigner(
        vg.types.Candidates(
            *(np.zeros((2, grid.count, 3), np.float32), np.zeros((2, grid.count, 4), np.float32)),
            *(centers, grid.strides, sizes),
        ),
        {"boxes": BOXES, "classes": CLASSES},
    )
    index = k.convert_to_numpy(found.index)
    logits, deltas = (
        torch.tensor(np.concatenate([raw[lv][n].reshape(2, -1, size) for lv in raw], 1))
        for n, size in (("classes", 3), ("boxes", 4))
    )
    total_class, total_box, count = 0.0, 0.0, int((index >= 0).sum())
    assert count > 2
    assert (index == -2).any()
    for image in range(2):
        kept = index[image] != -2
        hot = np.zeros((grid.count, 3), np.float32)
        for row in np.flatnonzero(index[image] >= 0):
            hot[row, CLASSES[image, index[image, row]]] = 1
        targets = torch.tensor(hot)
        p = torch.sigmoid(logits[image])
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[image], targets, reduction="none"
        )
        p_t = p * targets + (1 - p) * (1 - targets)
        alpha = 0.25 * targets + 0.75 * (1 - targets)
        total_class += float((alpha * (1 - p_t) ** 2 * entropy)[torch.tensor(kept)].sum())
        rows = np.flatnonzero(index[image] >= 0)
        box = BOXES[image, index[image, rows]]
        side = box[:, 2:] - box[:, :2]
        wanted = np.concatenate(
            [(box[:, :2] + side / 2 - centers[rows]) / sizes[rows], np.log(side / sizes[rows])], -1
        )
        total_box += float(
            torch.nn.functional.smooth_l1_loss(
                deltas[image][torch.tensor(rows)], torch.tensor(wanted), reduction="sum", beta=beta
            )
        )
    return {"class": total_class / count, "box": box_gain * total_box / count}


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_loss_equals_that_of_torch(beta):
    head, raw = HEAD.replace(loss={"beta": beta}), raw_maps()
    terms = head.loss(raw, {"boxes": BOXES, "classes": CLASSES}, HeadContext(head, SIZE, LEVELS))
    found = {name: float(value) for name, value in quotients(terms).items()}
    assert found == pytest.approx(by_torch(raw, beta), rel=1e-4)


def test_an_image_without_objects_is_trained_as_background():
    raw = raw_maps()
    empty = {"boxes": np.zeros((2, 1, 4), np.float32), "classes": np.full((2, 1), -1, np.int32)}
    terms = HEAD.loss(raw, empty, HeadContext(HEAD, SIZE, LEVELS))
    assert {name: float(term.count) for name, term in terms.items()} == {"class": 0, "box": 0}
    logits = torch.tensor(np.concatenate([raw[level]["classes"].ravel() for level in raw]))
    p = torch.sigmoid(logits)
    wanted = float((0.75 * p**2 * -torch.log(1 - p)).sum())
    assert float(quotients(terms)["class"]) == pytest.approx(wanted, rel=1e-4)
    assert float(quotients(terms)["box"]) == 0


def test_untrained_scores_are_the_prior():
    model = small()
    raw = model(np.zeros((1, *SIZE, 3), np.uint8))
    scores = k.convert_to_numpy(k.sigmoid(raw["p7"]["classes"]))
    assert scores == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    "box_loss",
    [
        pytest.param(None, marks=pytest.mark.slow_backends),
        pytest.param("GIoU", marks=[pytest.mark.slow, pytest.mark.slow_backends("torch")]),
    ],
)
def test_it_trains_reopens_and_shares_its_towers(tmp_path, box_loss):
    model = small(norm="group", prior=0.3, loss={"box_loss": box_loss})
    assert {weight.path.split("/")[1] for weight in model.head.weights} == {
        *("class_tower", "box_tower"),
    }
    model.compile(keras.optimizers.SGD(1e-3), **for_one_step())
    images = np.random.default_rng(0).integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    targets = {"boxes": BOXES, "classes": np.minimum(CLASSES, 1)}
    before = model.get_weights()
    assert np.isfinite(np.asarray(model.train_on_batch(images, targets))).all()
    still = [
        weight.path
        for weight, a, b in zip(model.weights, before, model.get_weights(), strict=True)
        if np.array_equal(a, b)
    ]
    assert not still
    model.save(tmp_path / "m.keras")
    opened = vg.load(tmp_path / "m.keras")
    for one, two in zip(
        keras.tree.flatten(model(images)), keras.tree.flatten(opened(images)), strict=True
    ):
        assert k.convert_to_numpy(one) == pytest.approx(k.convert_to_numpy(two), abs=1e-5)


def test_image_sizes_need_not_divide_by_the_strides_that_the_decoder_adds():
    """p6 and p7 of 64 × 96 pixels round up, as those of torchvision do."""
    raw = small().output
    assert raw["p6"]["boxes"].shape[1:3] == (1, 2)
    assert raw["p7"]["boxes"].shape[1:3] == (1, 1)
    results = small().detect(np.zeros((1, *SIZE, 3), np.uint8), score=0.9)
    assert len(next(iter(results))) == 0


def test_shared_towers_are_shown_and_counted_once():
    model = small()
    figure = vg.show(model)
    towers = [row for row in figure.rows if row.stage == "class_tower"]
    assert [row.kind.startswith("PredictionTower (shared)") for row in towers] == [
        *(False, True, True, True, True),
    ]
    assert sum(row.count.total for row in figure.rows) == model.count_params()
    cells = sum(h * w for h, w in ((8, 12), (4, 6), (2, 3), (1, 2), (1, 1)))
    assert towers[0].count.macs == cells * 9 * 16 * (2 * 16 + 18)


def test_levels_of_different_channels_are_an_error():
    with pytest.raises(ContractError, match="equal on all levels"):
        vg.connect(
            vg.backbones.ResNet(depth=18),
            vg.decoders.PathAggregation(),
            vg.heads.RetinaNetHead(num_classes=2),
        )


def test_groups_must_divide_the_filters():
    with pytest.raises(ConfigError, match="filters=72"):
        vg.heads.RetinaNetHead(num_classes=2, filters=70, norm="group")
