"""Unknown options and arguments are rejected, with the nearest valid one."""

import keras
import pytest
from tests.darknet.nets import cfg_of  # noqa: F401 (shares the folder's setting)

import visiongarden as vg
from visiongarden.errors import ModelFileError, UserError

CFG = """[net]
width=32
height=32
[convolutional]
{options}
filters=4
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[softmax]
"""


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ("batch_normalise=1", "batch_normalize=1"),
        ("stirde=2", "stride=2"),
        ("activaton=relu", "activation=relu"),
        ("zzz=1", "delete line 5, which Darknet ignores"),
    ],
)
def test_an_unknown_option_names_the_nearest(option, fix):
    with pytest.raises(ModelFileError, match=r"line 5, \[convolutional\].*has no option") as error:
        vg.import_darknet(CFG.format(options=option))
    assert error.value.fix == fix


def test_the_fix_makes_the_layer_that_was_meant():
    model = vg.import_darknet(CFG.format(options="batch_normalize=1"))
    assert any("norm" in weight.path for weight in model.weights)
    # An option of every layer, and one for training alone.
    vg.import_darknet(CFG.format(options="stopbackward=1\nlearning_rate=0.1"))


@pytest.mark.parametrize("call", [
    lambda **kwargs: vg.import_darknet(CFG.format(options=""), **kwargs),
    lambda **kwargs: vg.DarknetModel(CFG.format(options=""), **kwargs),
    lambda **kwargs: vg.Classifier(
        vg.backbones.ResNet(depth=18, levels=("p5",)), vg.heads.Classification(num_classes=2),
        image_size=64, **kwargs),
    lambda **kwargs: vg.cards.build("yolov3-tiny", num_classes=1, image_size=64, **kwargs),
    lambda **kwargs: vg.layers.ConvNormAct(4, **kwargs),
])  # fmt: skip
def test_unknown_arguments_are_errors(call):
    with pytest.raises((TypeError, ValueError), match="names"):
        call(names="coco.names")


def test_options_of_a_darknet_model_are_rejected_for_parts():
    with pytest.raises(UserError, match="epsilon is not an option of a detector made of parts"):
        vg.import_darknet(CFG.format(options=""), as_parts=True, epsilon=1e-3)
    model = vg.import_darknet(CFG.format(options=""), name="mine", dtype="mixed_bfloat16")
    assert (model.name, model.dtype_policy.name) == ("mine", "mixed_bfloat16")
    assert isinstance(model, keras.Model)
