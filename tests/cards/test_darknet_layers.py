"""Cards of Darknet's networks equal its cfg files, convolution by convolution."""

import json
import math
from collections import Counter
from functools import cache

import pytest
from tests.shared import shared

from visiongarden import cards
from visiongarden.backends.weightless import weightless
from visiongarden.inspect.counting import symbolic_inputs
from visiongarden.inspect.macs import every_layer, macs_by_layer
from visiongarden.layers import ConvNormAct

FILES = {
    "yolov3": "AlexeyAB__yolov3",
    "yolov3-spp": "pjreddie__yolov3-spp",
    "yolov3-tiny": "pjreddie__yolov3-tiny",
    "yolov4": "AlexeyAB__yolov4",
    "yolov4-tiny": "AlexeyAB__yolov4-tiny",
    "yolov4-tiny-3l": "AlexeyAB__yolov4-tiny-3l",
    "yolov4-csp": "AlexeyAB__yolov4-csp",
}
ACTIVATIONS = {"leaky": "LeakyReLU", "mish": "mish", "linear": None, "logistic": None}


@cache
def built(name):
    """(kernel, stride, in, out, cells, normalized, activation) of each convolution.

    Those of the backbone come first, in the order in which they run.
    """
    card = cards.load(name)
    with weightless():
        model = cards.build(card)
        found = macs_by_layer(model, symbolic_inputs(model, card.image_size))
    layers = {id(layer): layer for layer in every_layer(model)}
    outer = {id(a.conv): a for a in layers.values() if isinstance(a, ConvNormAct)}
    inside = {id(layer) for layer in every_layer(model.backbone)}
    rows = {True: [], False: []}
    for key in found:  # in the order of the pass
        kernel, around = tuple(layers[key].kernel.shape), outer.get(key)
        rows[key in inside].append(
            (
                kernel[0],
                layers[key].strides[0],
                kernel[2],
                kernel[3],
                found[key] // math.prod(kernel),
                around is not None,
                around and _name(around.act),
            )
        )
    return rows


def _name(act):
    return act.activation.__name__ if hasattr(act, "activation") else type(act).__name__


def published(name):
    layers = json.loads(shared("reference", "darknet", "layers", f"{FILES[name]}.json").read_text())
    assert layers["params"] == cards.load(name).params
    assert tuple(layers["input"][:2]) == cards.load(name).image_size
    return [
        (
            row["k"],
            row["s"],
            row["cin"],
            row["c"],
            row["h"] * row["w"],
            bool(row["bn"]),
            ACTIVATIONS[row["act"]],
        )
        for row in layers["rows"]
        if row["type"] == "convolutional"
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_convolution(name):
    rows, expected = built(name), published(name)
    assert Counter(rows[True] + rows[False]) == Counter(expected)


@pytest.mark.parametrize("name", FILES)
def test_the_backbone_in_the_order_of_the_file(name):
    backbone = built(name)[True]
    assert backbone == published(name)[: len(backbone)]
