"""Regression: values of images with units, from a table to an exported file."""

import csv
import json

import cv2
import keras
import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.data import read
from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.evaluation import evaluate, predict
from visiongarden.losses import quotients
from visiongarden.metrics import RegressionErrors
from visiongarden.recipes import resolve
from visiongarden.samples import ImageInfo, Sample
from visiongarden.tasks import find, task_of
from visiongarden.types import ClassMap, HeadContext, LabelMap, Values

pytestmark = pytest.mark.xdist_group("regression")  # one worker makes what the tests share

MAP = LabelMap(("light", "slope"), ("lux", "deg"))
READER = {"type": "ValuesCSV", "units": MAP.units}


def write(root, splits=(("train", 24), ("val", 10)), header="file,light,slope"):
    """Write gray images whose brightness is `light`; every fourth `slope` is unknown."""
    rng = np.random.default_rng(0)
    for split, count in splits:
        (root / split).mkdir(parents=True)
        lines = [header]
        for i in range(count):
            gray = int(rng.integers(20, 230))
            image = np.clip(rng.normal(gray, 3, (32, 40, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / split / f"{i}.png"), image)
            lines.append(f"{i}.png,{gray * 40},{'' if i % 4 == 3 else i - 5}")
        (root / split / "values.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("values"))


@pytest.fixture(scope="module")
def run(data):
    small = ("model.image_size=32", "model.backbone.width=0.0625", "training.epochs=2")
    fast = (
        "training.batch_size=8",
        "training.optimizer.learning_rate.warmup_epochs=0",
        "training.tensorboard=false",
    )
    return vg.train(data, *small, *fast, reader=READER, output=data / "run")


def sample(*values):
    return Sample(ImageInfo(0, None, (8, 8)), labels=np.array(values, np.float32))


def head(**fields):
    given = {"names": MAP.names, "units": MAP.units, "means": (1.0, -2.0), "scales": (2.0, 0.5)}
    return vg.heads.Regression(**(given | fields))


def test_the_head_takes_names_units_and_scales_from_the_training_images(data):
    recipe = resolve(data, reader=READER)
    assert recipe.task == "regression"
    found, labels = recipe.model.head, np.array([s.labels for s in read(data, reader=READER)])
    assert (found.names, found.units) == (MAP.names, MAP.units)
    np.testing.assert_allclose(found.means, np.nanmean(labels, axis=0, dtype=np.float64))
    np.testing.assert_allclose(found.scales, np.nanstd(labels, axis=0, dtype=np.float64))
    assert recipe.transforms == (vg.transforms.HSV(),)
    assert resolve(recipe.to_dict()) == recipe


def test_metrics_equal_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    true, found = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    true[::7, 1] = np.nan
    metric, half = (RegressionErrors(ClassMap(MAP.names)) for _ in range(2))
    for i, (t, f) in enumerate(zip(true, found, strict=True)):
        (metric if i % 2 else half).update_state([sample(*t)], [Values(f, MAP)])
    metric.merge_state([half])
    rows = metric.per_class()
    for name, t, f in zip(MAP.names, true.astype(np.float32).T, found.T, strict=True):
        known = ~np.isnan(t)
        t, f = t[known].astype(float), f[known]
        assert rows[name] == pytest.approx({
            "MAE": mean_absolute_error(t, f), "RMSE": root_mean_squared_error(t, f),
            "bias": (f - t).mean(), "R2": r2_score(t, f), "images": known.sum(),
        })  # fmt: skip
    assert metric.result() == pytest.approx({"R2": np.mean([r["R2"] for r in rows.values()])})
    metric.reset_state()
    assert np.isnan(metric.result()["R2"])
    metric.update_state([sample(1, 2)] * 2, [Values(np.array([1.5, 2.0]), MAP)] * 2)
    # All are equal: 0 for errors, 1 for exact predictions.
    for name, t, f in (("light", [1, 1], [1.5, 1.5]), ("slope", [2, 2], [2.0, 2.0])):
        assert metric.per_class()[name]["R2"] == r2_score(t, f)
    evaluation = vg.evaluation.EvaluationResult(metric.result(), metric.per_class(), 2)
    (section,) = find("regression").report(evaluation)
    assert section.rows == (("light", "0.5"),)
    assert "the value is the same for all images" in section.title
    metric.reset_state()
    metric.update_state([sample(1, 2)], [Values(np.array([1.5, 2.0]), MAP)])
    assert np.isnan(metric.per_class()["light"]["R2"])  # one image
    with pytest.raises(UserError, match="has no weights"):
        metric.update_state([], [], sample_weight=[1])
    with pytest.raises(UserError, match="one value for each of light, slope"):
        metric.update_state([sample(1)], [Values(np.array([1.0, 2.0]), MAP)])


@pytest.mark.backends
def test_unknown_values_have_no_gradient():
    raw = np.array([[1.0, 3.0], [0.2, -0.1]], np.float32)
    targets = {"values": np.array([[5.0, np.nan], [np.nan, -2.0]], np.float32)}
    context = HeadContext(head(), (32, 32), None)
    term = head().loss({"p5": {"values": raw}}, targets, context)["value"]
    # Standardized: (5 - 1) / 2 = 2 against 1, and (-2 + 2) / 0.5 = 0 against -0.1.
    assert float(term.total) == pytest.approx(0.5 + 0.1**2 / 2)
    assert float(term.count) == 2
    moved = np.array([[1.0, 9.0], [7.0, -0.1]], np.float32)
    again = head().loss({"p5": {"values": moved}}, targets, context)["value"]
    assert float(again.total) == pytest.approx(float(term.total))
    nothing = {"values": np.full((2, 2), np.nan, np.float32)}
    empty = quotients(head().loss({"p5": {"values": raw}}, nothing, context))
    assert float(empty["value"]) == 0
    gains = vg.losses.RegressionLoss(gains=(0, 3))
    weighted = gains({"p5": {"values": raw}}, targets, context)["value"]
    assert float(weighted.total) == pytest.approx(3 * 0.1**2 / 2)
    with pytest.raises(UserError, match="1 gains"):
        vg.losses.RegressionLoss(gains=(1,))({"p5": {"values": raw}}, targets, context)
    values = head().decoding({"p5": {"values": raw}}, context)["values"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(values), [[3, -0.5], [1.4, -2.05]])


def test_a_run_reports_errors_in_units(run, data):
    assert run.history[-1].keys() >= {"loss", "value", "R2"}
    result = evaluate(run.folder / "best.keras", {"path": data, "reader": READER})
    assert result.units == {"light": "lux", "slope": "deg"}
    rows = {line.split()[0]: line.split() for line in str(result).splitlines() if line}
    assert rows["value"] == ["value", "unit", "MAE", "RMSE", "bias", "R2", "images"]
    assert rows["light"][1] == "lux"
    assert rows["light"][-1] == "10"
    assert rows["slope"][-1] == "8"
    assert ">lux</td>" in result._repr_html_()
    values = [sample.labels for sample in read(data, split="val", reader=READER)]
    images = [data / "val" / f"{i}.png" for i in range(10)]
    found = [v.values for v in predict(run.folder / "best.keras", images)]
    mae = mean_absolute_error(np.array(values)[:, 0], np.array(found)[:, 0])
    assert result.per_class["light"]["MAE"] == pytest.approx(mae, rel=1e-4)
    keras_metric = keras.metrics.MeanAbsoluteError(name="mae")
    with_keras = evaluate(
        run.folder / "best.keras", {"path": data, "reader": READER}, metrics=[keras_metric]
    )
    assert with_keras["mae"] > 0


@pytest.mark.slow
def test_the_order_of_columns_does_not_matter(run, data):
    model = vg.load(run.folder / "best.keras")
    first = evaluate(model, {"path": data, "reader": READER}).per_class
    reader = {"type": "ValuesCSV", "columns": ["slope", "light"], "units": ["deg", "lux"]}
    other = evaluate(model, {"path": data, "reader": reader})
    assert list(other.per_class) == ["slope", "light"]
    assert "by name" in other.note
    for name, row in other.per_class.items():
        assert row == pytest.approx(first[name])


@pytest.mark.slow
def test_by_command(run, data, tmp_path, capsys):
    model, out = run.folder / "best.keras", tmp_path / "out"

    def command(code, *arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        return printed.out if code == 0 else printed.err

    assert "lux" in command(0, "evaluate", model, data, "--reader", json.dumps(READER))
    printed = command(0, "predict", model, data / "val", "--output", out)
    assert "10 images: light [lux] from" in printed
    rows = list(csv.DictReader((out / "values.csv").read_text().splitlines()))
    assert (len(rows), rows[0]["name"], rows[0]["unit"]) == (20, "light", "lux")
    listed = json.loads((out / "values.json").read_text())[0]["values"]
    assert [float(rows[i]["value"]) for i in range(2)] == [each["value"] for each in listed]
    assert cv2.imread(str(out / "0.png")).shape == (32, 40, 3)
    command(0, "predict", model, data / "val", "--output", out)  # its results are replaced
    assert "has no effect on regression" in command(
        2, "predict", model, data / "val", "--output", out, "--score", "0.3"
    )
    other = json.dumps({"type": "ValuesCSV", "units": ["klux", "deg"]})
    error = command(2, "evaluate", model, data, "--reader", other)
    assert "is in klux" in error
    assert "the unit of the model, lux" in error


@pytest.mark.slow
def test_an_exported_file_predicts_the_same_values(run, tmp_path):
    import onnxruntime

    path = tmp_path / "values.onnx"
    result = vg.export(run.folder / "best.keras", path)
    assert result.parity.agrees
    assert (result.parity.what, result.parity.found) == ("values", 4)
    session = onnxruntime.InferenceSession(str(path))
    assert [output.name for output in session.get_outputs()] == ["values"]


def test_values_of_an_image():
    found = Values(np.array([1234.5678, -0.5], np.float32), MAP)
    assert repr(found) == "Values(light 1235 lux, slope -0.5 deg)"
    assert found["slope"] == -0.5
    assert found.to_dict()["values"][1] == {"name": "slope", "value": -0.5, "unit": "deg"}
    drawn = vg.drawing.draw(np.zeros((64, 200, 3), np.uint8), found)
    assert drawn[:40, :100].any()
    with pytest.raises(UserError, match="no value 'slpe'") as caught:
        found["slpe"]
    assert "slope" in caught.value.fix
    with pytest.raises(UserError, match="one number for each of light, slope"):
        Values(np.zeros(3), MAP)


def test_a_difference_is_relative_to_the_scale():
    task = type(find("regression")).of_head(head(scales=(1e-4, 100.0)))
    expected = {"values": np.array([[1e-4, 50.0]])}
    near, far = ({"values": expected["values"] + [[error, 0.01]]} for error in (1e-8, 1e-6))
    assert task.difference(expected, near).agrees
    assert not task.difference(expected, far).agrees


def test_invalid_heads_and_data(data, tmp_path):
    with pytest.raises(ConfigError, match="2 names and 1 means"):
        head(means=(1.0,))
    with pytest.raises(ConfigError, match="scales"):
        head(scales=(1.0, 0.0))
    parts = {"backbone": vg.backbones.CSPDarknet(width=0.0625, levels=("p5",)), "head": head()}
    with pytest.raises(ContractError, match="does not match the names light, tilt"):
        vg.Classifier(**parts, class_map=("light", "tilt"))
    assert task_of(vg.Classifier(**parts)).units == {"light": "lux", "slope": "deg"}
    write(tmp_path / "unknown", (("train", 2), ("val", 1)), "file,light,slope")
    table = tmp_path / "unknown" / "train" / "values.csv"
    table.write_text("file,light,slope\n0.png,40,\n1.png,50,\n")
    with pytest.raises(UserError, match="'slope' is unknown for all images"):
        resolve(tmp_path / "unknown", reader=READER)
    classes = vg.data.Dataset(ClassMap(("a", "b")), [sample(1, 0)])
    with pytest.raises(UserError, match="are classes: a, b"):
        find("regression").check(classes)


@pytest.mark.slow
def test_check_proves_loss_and_decoding():
    report = vg.check(head())
    assert report.ok, str(report)
    assert "decode to themselves" in report["loss_decode"].evidence


@pytest.mark.parametrize("pool", ["average", "max", "flatten"])
def test_pooling_of_the_head(pool):
    """Means and maxima do not depend on the positions of features; flattened ones do."""
    fields = {"names": ("x",), "units": ("",), "means": (0.0,), "scales": (1.0,)}
    head = vg.heads.Regression(**fields, pool=pool)
    model = head.as_model(vg.types.FeatureSpec({"p5": vg.types.LevelSpec(3, 32)}), (64, 96))
    features = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    one, other = (
        np.asarray(model({"p5": maps})["p5"]["values"]) for maps in (features, features[:, ::-1])
    )
    assert np.allclose(one, other, atol=1e-6) == (pool != "flatten")
    kernel = np.asarray(model.get_layer("out").kernel)
    pooled = {
        "average": features.mean((1, 2)), "max": features.max((1, 2)),
        "flatten": features.reshape(1, -1),
    }[pool]  # fmt: skip
    np.testing.assert_allclose(one, pooled @ kernel, atol=1e-5)
    if pool == "flatten":
        with pytest.raises(UserError, match="fixed size"):
            head.as_model(vg.types.FeatureSpec({"p5": vg.types.LevelSpec(3, 32)}), None)
