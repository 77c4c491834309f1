"""Exported files contain a signature, and are evaluated and used for prediction like a model."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, ModelFileError, UserError
from visiongarden.evaluation import Predictor
from visiongarden.exporters import ExportedModel, Exporter, Signature, export
from visiongarden.transforms import CenterCrop, Letterbox, Resize

pytestmark = pytest.mark.xdist_group("exported_model")  # one worker makes what the tests share

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
BACKBONE = {"depth": 0.33, "width": 0.0625}


def detector(**options):
    keras.utils.set_random_seed(0)
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(levels=("p3", "p4"), **BACKBONE),
        decoder=vg.decoders.PassOn(levels=("p3", "p4")),
        head=vg.heads.AnchorFree(num_classes=2, bins=4, box_groups=4),
        image_size=(32, 64),
        class_map=("cat", "dog"),
        **options,
    )


def whole_image_model(head):
    keras.utils.set_random_seed(0)
    return vg.Classifier(
        backbone=vg.backbones.CSPDarknet(levels=("p3",), **BACKBONE), head=head, image_size=32
    )


def images(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def exported_detector(tmp_path_factory):
    """An untrained detector with a resize of its own, and its file."""
    model = detector(resize=Letterbox(fill=3, align="top_left"))
    path = tmp_path_factory.mktemp("exported") / "m.onnx"
    assert export(model, path).parity.agrees
    return model, path


def test_the_signature_is_that_of_the_model(exported_detector):
    model, path = exported_detector
    signature = vg.exporters.load(path).signature
    assert signature.task == "detection"
    assert signature.class_map == vg.ClassMap(("cat", "dog"))
    assert signature.label_map is None
    assert (signature.image_size, signature.channels, signature.dtype) == ((32, 64), 3, "uint8")
    assert signature.preprocessing == model.preprocessing
    assert signature.resize == Letterbox(fill=3, align="top_left")
    assert signature.outputs == ("boxes", "scores")
    assert signature.needs_nms is True
    texts = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    assert json.loads(texts["resize"])["align"] == "top_left"


def test_the_file_predicts_what_the_model_predicts(exported_detector):
    """Images of other sizes, so that the resize of the signature is used."""
    model, path = exported_detector
    pictures = images((40, 50), (64, 20), (32, 64))
    ours = list(vg.predict(model, pictures, score=0.0))
    others = list(vg.predict(str(path), pictures, score=0.0))
    for one, other in zip(ours, others, strict=True):
        assert one.class_map == other.class_map
        assert one.size == other.size
        best = np.argsort(-np.asarray(one.scores), kind="stable")[:5]
        assert np.asarray(other.scores).max() == pytest.approx(
            np.asarray(one.scores)[best[0]], abs=1e-5
        )


def test_it_is_evaluated_like_the_model():
    """With the outputs of the model itself: rounding would decide between boxes of one score."""
    model = detector(resize=Resize())
    exported = ExportedModel(Signature.of(model, (32, 64)), Predictor(model).raw)
    pictures = images((40, 50), (64, 20))
    samples = []
    for number, (picture, found) in enumerate(
        zip(pictures, vg.predict(model, pictures, score=0.0), strict=True)
    ):
        # What the model finds best is the ground truth, so that the metrics are not 0.
        boxes = np.asarray(found.boxes)
        large = np.nonzero((boxes[:, 2:] - boxes[:, :2]).min(1) > 2)[0]
        keep = large[np.argsort(-np.asarray(found.scores)[large], kind="stable")][:3]
        objects = vg.samples.Instances(
            picture.shape[:2], vg.samples.Boxes(boxes[keep]), found.classes[keep]
        )
        info = vg.samples.ImageInfo(number, None, picture.shape[:2])
        samples.append(vg.samples.Sample(info, picture, objects))
    data = vg.data.Dataset(vg.ClassMap(("cat", "dog")), samples)
    expected = vg.evaluate(model, data)
    assert expected["AP50"] > 0
    same = pytest.approx(expected.metrics, abs=0, rel=0, nan_ok=True)
    assert vg.evaluate(exported, data).metrics == same
    batch = np.stack([Resize().place(picture, (32, 64))[0] for picture in pictures])
    targets = {"boxes": np.float32([[[0, 0, 9, 9]]] * 2), "classes": np.zeros((2, 1), np.int32)}
    expected = vg.evaluate(model, [(batch, targets)])
    same = pytest.approx(expected.metrics, abs=0, rel=0, nan_ok=True)
    assert vg.evaluate(exported, [(batch, targets)]).metrics == same


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(vg.heads.Classification(num_classes=3), marks=pytest.mark.slow),
        pytest.param(vg.heads.MultiLabel(num_classes=3, threshold=0.3), marks=pytest.mark.slow),
        vg.heads.Regression(
            names=("angle", "speed"), units=("rad", "m/s"), means=(0.1, 2.0), scales=(0.5, 3.0)
        ),
    ],
    ids=["classes", "labels", "values"],
)
def test_tasks_of_whole_images(tmp_path, head):
    model = whole_image_model(head)
    assert export(model, tmp_path / "m.onnx").parity.agrees
    exported = vg.exporters.load(tmp_path / "m.onnx")
    assert exported.signature.resize == model.resize
    (picture,) = images((45, 70))
    (one,), (other,) = (list(vg.predict(each, picture)) for each in (model, exported))
    if isinstance(head, vg.heads.Regression):
        assert exported.signature.label_map.units == ("rad", "m/s")
        assert other.label_map == one.label_map
        np.testing.assert_allclose(other.values, one.values, rtol=1e-4)
    else:
        np.testing.assert_array_equal(other.classes, one.classes)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-5)


def constant(**changes):
    """An exported classifier without a file."""
    signature = Signature.of(whole_image_model(vg.heads.Classification(num_classes=2)), (32, 32))
    run = {"scores": np.float32([[0.25, 0.75]])}
    fields = signature.to_dict() | changes
    return ExportedModel(Signature.from_dict(fields), lambda batch: run | {"n": batch.sum(1)[:1]})


def test_invalid_images():
    model = constant()
    assert model(np.zeros((1, 32, 32, 3), np.uint8))["scores"].tolist() == [[0.25, 0.75]]
    assert list(model(np.zeros((1, 32, 32, 3), np.uint8))) == ["scores"]
    with pytest.raises(UserError, match="float64"):
        model(np.zeros((1, 32, 32, 3)))
    with pytest.raises(UserError, match="32 × 33"):
        model(np.zeros((1, 32, 33, 3), np.uint8))
    with pytest.raises(ModelFileError, match="does not return the outputs"):
        model(np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(UserError, match="exported file already"):
        export(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "detecting"}, "unknown task"),
        ({"task_fields": {"depth": 1}}, "depth"),
        ({"image_size": [0, 32]}, "image_size"),
        ({"image_size": [32, 10**9]}, "image_size"),
        ({"channels": 4}, "channels is 4"),
        ({"dtype": "int64"}, "dtype"),
        ({"resize": {"type": "elsewhere>Magnify"}}, "Magnify"),
        ({"resize": {"type": "os:system"}}, "os:system"),
        ({"outputs": []}, "no outputs"),
        ({"preprocessing": {"scale": -1}}, "scale"),
        ({"class_map": {"names": ["a", "a"], "ids": [0, 1]}}, "a"),
        ({"class_map": [["a"]]}, "class_map"),
    ],
)
def test_invalid_signatures(exported_detector, tmp_path, changes, message):
    """A file is untrusted: its metadata are checked, and name no code to run."""
    graph = onnx.load(str(exported_detector[1]))
    texts = {p.key: p.value for p in graph.metadata_props}
    texts |= {key: json.dumps(value) for key, value in changes.items()}
    onnx.helper.set_model_props(graph, texts)
    onnx.save(graph, str(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=message):
        vg.exporters.load(tmp_path / "m.onnx")


def test_files_without_a_signature(exported_detector, tmp_path):
    graph = onnx.load(str(exported_detector[1]))
    onnx.helper.set_model_props(graph, {"task": '"detection"', "resize": "[" * 100_000})
    onnx.save(graph, str(tmp_path / "m.onnx"))
    with pytest.raises(ModelFileError, match="no valid signature"):
        vg.predict(tmp_path / "m.onnx", images((32, 32)))
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot open"):
        vg.exporters.load(tmp_path / "broken.onnx")
    with pytest.raises(ModelFileError, match="there is no exported file"):
        vg.exporters.load(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="not an exported file"):
        vg.exporters.load(tmp_path / "m.txt")


def test_another_graph_than_in_the_signature(exported_detector, tmp_path):
    graph = onnx.load(str(exported_detector[1]))
    texts = {p.key: p.value for p in graph.metadata_props} | {"image_size": "[64, 64]"}
    onnx.helper.set_model_props(graph, texts)
    onnx.save(graph, str(tmp_path / "m.onnx"))
    with pytest.raises(ModelFileError, match="input and outputs of its signature"):
        vg.exporters.load(tmp_path / "m.onnx")


@vg.register(package="test_exported_model")
class ScoreTable(Exporter):
    """A custom format, a zip file: the signature, and the weights of a linear classifier."""

    format, suffix = "score-table", ".table"
    scale: float = 1.0

    def export(self, model, path, signature, data=None):
        graph = vg.exporters.with_decoding(model, signature.image_size)
        weights = io.BytesIO()
        np.savez(weights, *[np.asarray(w) * self.scale for w in graph.get_weights()])
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("signature.json", json.dumps(signature.to_dict()))
            archive.writestr("weights.npz", weights.getvalue())

    def load(self, path):
        with zipfile.ZipFile(path) as archive:
            signature = Signature.from_dict(json.loads(archive.read("signature.json")))
            arrays = np.load(io.BytesIO(archive.read("weights.npz")), allow_pickle=False)
            kernel, bias = (arrays[name] for name in sorted(arrays.files))

        def run(batch):
            logits = (batch / 255).mean((1, 2)) @ kernel + bias
            e = np.exp(logits - logits.max(-1, keepdims=True))
            return {"scores": e / e.sum(-1, keepdims=True)}

        return ExportedModel(signature, run)


@vg.register(package="test_exported_model")
class Pixels(vg.Backbone):
    """The image itself, so that the head is a linear classifier of the mean color."""

    levels: tuple[str, ...] = ("p1",)

    def wire(self, pictures):
        return {"p1": keras.layers.AveragePooling2D(2, name="p1")(pictures)}


def test_a_format_of_ones_own(tmp_path):
    """One class with two methods: exported by name, checked, evaluated and used."""
    model = vg.Classifier(
        backbone=Pixels(), head=vg.heads.Classification(num_classes=3, dropout=0), image_size=8
    )
    found = export(model, tmp_path / "m.table", format="score-table")
    assert (found.format, found.parity.agrees) == ("score-table", True)
    exported = vg.exporters.load(tmp_path / "m.table")
    pictures = images((8, 8), (20, 12))
    for one, other in zip(*(vg.predict(m, pictures) for m in (model, exported)), strict=True):
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-5)
    with pytest.raises(UserError, match=r"ends in \.table"):
        export(model, tmp_path / "m.onnx", format="score-table")
    # An exporter with an error: the parity check finds it, and no file remains.
    for format in ({"type": "ScoreTable", "scale": -1.0}, ScoreTable(scale=-1.0)):
        model.set_weights([w + 1 for w in model.get_weights()[:1]] + model.get_weights()[1:])
        with pytest.raises(UserError, match="differ"):
            export(model, tmp_path / "wrong.table", format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["m.table"]


def test_unknown_formats(tmp_path):
    with pytest.raises(ConfigError, match=r"onnx") as error:
        export(tmp_path / "m.keras", format="onx")
    assert error.value.fix == "format='onnx'"


def test_darknet_files_state_how_images_are_resized():
    cfg = "[net]\nwidth=32\nheight=32\n{}[conv]\nfilters=18\nsize=1\n[yolo]\nclasses=1\nmask=0,1,2"
    cfg += "\nanchors=1,1,2,2,3,3\nnum=3"
    for line, method in (("", "stretch"), ("letter_box=1\n", "letterbox")):
        model = vg.DarknetModel(cfg.format(line))
        signature = Signature.of(model, (32, 32))
        assert signature.resize == vg.darknet.DarknetResize(method=method)
        assert Signature.from_dict(signature.to_dict()) == signature
        (picture,) = images((50, 20))
        canvas, placement = signature.resize.place(picture, (32, 32))
        expected, place = model.place(picture)
        np.testing.assert_allclose(canvas, expected, atol=0.5)
        assert placement == place
    assert {CenterCrop(), Resize()}.isdisjoint({signature.resize})
