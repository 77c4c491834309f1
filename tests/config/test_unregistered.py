"""Classes that are not registered: the error names the right one, with the line to add.

Neither a registered subclass nor a registered base class registers the class between them.
"""

import json
import zipfile

import keras
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.config import KerasCallback, KerasMetric, KerasOptimizer
from visiongarden.errors import ConfigError, ModelFileError, UserError
from visiongarden.losses import ScoreLoss
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.tasks import Task
from visiongarden.transforms import Transform

RULE = "files and recipes contain registered classes; a derived class is registered separately"


class Alone(ScoreLoss):
    """Loss without a registered relative."""

    def __call__(self, logits, targets):
        return ops.square(logits - targets)


class Above(Alone):
    """Loss with a registered subclass."""


@vg.register(package="relatives")
class Registered(Above):
    """Registered loss, derived from one that is not."""


class Below(Registered):
    """Loss derived from a registered one."""


class HeadAbove(vg.heads.MultiLabel):
    """Head between two registered ones."""


@vg.register(package="relatives")
class RegisteredHead(HeadAbove):
    """Registered head."""


class HeadBelow(RegisteredHead):
    """Head derived from a registered one."""


class BackboneAbove(vg.Backbone):
    """Backbone with a registered subclass."""

    levels: tuple[str, ...] = ("p1",)

    def wire(self, images):
        return {"p1": vg.layers.ConvNormAct(4, 3, strides=2, name="stem")(images)}


@vg.register(package="relatives")
class RegisteredBackbone(BackboneAbove):
    """Registered backbone."""


class DecoderBelow(vg.decoders.PassOn):
    """Decoder derived from a registered one."""


class FlipBelow(vg.transforms.HorizontalFlip):
    """Transform derived from a registered one."""


class TaskBelow(vg.tasks.DetectionTask):
    """Task derived from a registered one."""

    name = "task_below"


class MetricBelow(keras.metrics.Mean):
    """Metric of Keras between two others."""


@vg.register(package="relatives")
class RegisteredMetric(MetricBelow):
    """Registered metric."""


class CallbackBelow(keras.callbacks.CSVLogger):
    """Callback."""


class OptimizerBelow(keras.optimizers.SGD):
    """Optimizer."""


class LayerAbove(keras.layers.Dense):
    """Layer with a registered subclass."""


@vg.register(package="relatives")
class RegisteredLayer(LayerAbove):
    """Registered layer."""


class LayerBelow(RegisteredLayer):
    """Layer derived from a registered one."""


@vg.register(package="relatives")
class WithLayer(vg.Classifier):
    """Model with a layer as argument."""

    def __init__(self, layer, **options):
        super().__init__(**options)
        self.layer = layer


TYPED = [
    (ScoreLoss, Alone, "ScoreLoss"),
    (ScoreLoss, Above, "Alone"),
    (ScoreLoss, Below, "Registered"),
    (Head, HeadAbove, "MultiLabel"),
    (Head, HeadBelow, "RegisteredHead"),
    (Backbone, BackboneAbove, "Backbone"),
    (Decoder, DecoderBelow, "PassOn"),
    (Transform, FlipBelow, "HorizontalFlip"),
    (Task, TaskBelow, "DetectionTask"),
]
KERAS = [
    (KerasMetric, MetricBelow, "Mean"),
    (KerasCallback, CallbackBelow, "CSVLogger"),
    (KerasOptimizer, OptimizerBelow, "SGD"),
]


def parts_of(error):
    return error.what, error.rule, error.received, error.fix


def expected(kind, name, cls, base):
    return (
        f"{kind} {name!r} is not registered",
        RULE,
        f"the class {cls.__name__} of {__name__}, without @vg.register",
        f"@vg.register\nclass {cls.__name__}({base}): ...",
    )


@pytest.mark.parametrize("spelling", ["{name}", "{module}:{name}", "{package}>{name}"])
@pytest.mark.parametrize(("base", "cls", "parent"), TYPED)
def test_recipes_name_the_class_that_lacks_the_decorator(base, cls, parent, spelling):
    package = __name__.partition(".")[0]
    name = spelling.format(name=cls.__name__, module=__name__, package=package)
    with pytest.raises(ConfigError) as error:
        base.find(name)
    assert parts_of(error.value) == expected(base.__name__, name, cls, parent)


def test_a_task_is_also_known_by_its_name():
    with pytest.raises(ConfigError) as error:
        Task.find("task_below")
    assert parts_of(error.value) == expected("Task", "task_below", TaskBelow, "DetectionTask")


@pytest.mark.parametrize(("kind", "cls", "parent"), KERAS)
def test_objects_of_keras(kind, cls, parent):
    for name in (cls.__name__, f"{__name__.partition('.')[0]}>{cls.__name__}"):
        with pytest.raises(ConfigError) as error:
            kind.find(name)
        assert parts_of(error.value) == expected(kind.kind, cls.__name__, cls, parent)
    # A module that the user imported may also be named: nothing is saved then.
    assert kind.find(f"{__name__}:{cls.__name__}") is cls


def test_registered_relatives_are_found():
    assert ScoreLoss.find("Registered") is Registered
    assert ScoreLoss.find("relatives>Registered") is Registered
    assert Head.find(f"{__name__}:RegisteredHead") is RegisteredHead
    assert Backbone.find("RegisteredBackbone") is RegisteredBackbone
    assert KerasMetric.find("RegisteredMetric") is RegisteredMetric


def test_python_needs_no_registration():
    """A registered subclass does not turn a class into one whose type is missing."""
    for cls in (Alone, Above, Registered, Below):
        assert type(cls()) is cls
    for cls in (HeadAbove, HeadBelow):
        assert cls(num_classes=2).num_classes == 2
    with pytest.raises(ConfigError, match="the type of ScoreLoss is missing"):
        ScoreLoss.from_dict({})


def model(backbone=RegisteredBackbone, head=vg.heads.MultiLabel, loss=Registered):
    loss = vg.losses.MultiLabelLoss(class_loss=loss())
    return vg.Classifier(backbone=backbone(), head=head(num_classes=2, loss=loss), image_size=32)


@pytest.mark.parametrize(
    ("options", "cls"),
    [
        ({"loss": Above}, Above),
        ({"loss": Below}, Below),
        ({"head": HeadAbove}, HeadAbove),
        ({"backbone": BackboneAbove}, BackboneAbove),
    ],
)
def test_a_model_is_not_saved(tmp_path, options, cls):
    with pytest.raises(UserError) as error:
        model(**options).save(tmp_path / "m.keras")
    assert parts_of(error.value) == (
        f"{cls.__name__} is not registered, so the file could not be loaded",
        RULE,
        f"{__name__}.{cls.__name__}",
        f'put @vg.register(package="{__name__.partition(".")[0]}") above class {cls.__name__}',
    )
    assert not (tmp_path / "m.keras").exists()


@pytest.mark.parametrize("cls", [LayerAbove, LayerBelow])
def test_a_layer_in_an_argument(tmp_path, cls):
    options = {"backbone": RegisteredBackbone(), "head": vg.heads.Classification(num_classes=2)}
    with pytest.raises(UserError) as error:
        WithLayer(keras.Sequential([cls(3)]), **options).save(tmp_path / "m.keras")
    assert error.value.what == (
        f"argument layer of WithLayer cannot be saved: {cls.__name__} is not registered"
    )
    package = __name__.partition(".")[0]
    assert error.value.fix == (
        f'put @vg.register(package="{package}") above the definition of {cls.__name__}'
    )


def renamed(path, old, new):
    """Write another class into the file of a model, as if it had been registered then."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    head = config["config"]["head"]
    if head["registered_name"] == f"relatives>{old}":
        head |= {"registered_name": f"{__name__.partition('.')[0]}>{new}", "class_name": new}
    text = json.dumps(config).replace(f'"relatives>{old}"', f'"{__name__.partition(".")[0]}>{new}"')
    members["config.json"] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("new", [HeadAbove, HeadBelow])
def test_a_file_whose_part_is_defined_but_not_registered(tmp_path, new):
    path = tmp_path / "m.keras"
    model(head=RegisteredHead).save(path)
    renamed(path, "RegisteredHead", new.__name__)
    with pytest.raises(ModelFileError) as error:
        vg.load(path)
    package = __name__.partition(".")[0]
    assert parts_of(error.value) == (
        f"the file needs the head '{package}>{new.__name__}', which is not registered",
        RULE,
        f"the class {new.__name__} of {__name__}, without @vg.register",
        f'put @vg.register(package="{package}") above class {new.__name__}',
    )


@pytest.mark.parametrize(("new", "parent"), [(Above, "Alone"), (Below, "Registered")])
def test_a_file_whose_loss_is_defined_but_not_registered(tmp_path, new, parent):
    path = tmp_path / "m.keras"
    model().save(path)
    renamed(path, "Registered", new.__name__)
    with pytest.raises(UserError, match="cannot be trained") as error:
        vg.load(path).parts.head.chosen_loss()
    package = __name__.partition(".")[0]
    assert error.value.rule == RULE
    assert error.value.received == (
        f"class_loss: ScoreLoss '{package}>{new.__name__}' is not registered"
    )
    assert error.value.fix == f"@vg.register\nclass {new.__name__}({parent}): ..."


@pytest.mark.parametrize("cls", [Above, Below])
def test_a_run_is_refused_before_its_data_are_read(tmp_path, cls):
    fields = {"data": {"path": str(tmp_path)}, "training": {"epochs": 1, "batch_size": 1}}
    loss = vg.losses.MultiLabelLoss(class_loss=cls())
    head = vg.heads.MultiLabel(num_classes=2, loss=loss)
    model = {"backbone": {"type": "RegisteredBackbone"}, "head": head}
    with pytest.raises(UserError, match=f"^{cls.__name__} is not registered"):
        vg.train(fields | {"model": model}, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
