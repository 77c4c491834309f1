"""Multi-label classification: from a table with unknown labels to an exported file."""

import csv
import json

import cv2
import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.data import read
from visiongarden.errors import ConfigError, UserError
from visiongarden.evaluation import evaluate, predict
from visiongarden.losses import quotients
from visiongarden.metrics import MultiLabelScores
from visiongarden.recipes import resolve
from visiongarden.samples import ImageInfo, Sample
from visiongarden.tasks import find, task_of
from visiongarden.types import ClassMap, HeadContext, LabelMap, Ranking

pytestmark = pytest.mark.xdist_group("multi_label")  # one worker makes what the tests share

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images with patches of some of three colors; a few labels are unknown."""
    root, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 10)):
        (root / split).mkdir()
        lines = ["filename,red,green,blue"]
        for i in range(count):
            labels = rng.integers(0, 2, 3)
            image = np.full((32, 32, 3), 30, np.uint8)
            for color in np.flatnonzero(labels):
                image[4:28, 10 * color : 10 * color + 8, color] = 220
            cv2.imwrite(str(root / split / f"{i}.png"), image[..., ::-1])
            cells = [str(label) for label in labels]
            if i % 5 == 4:
                cells[2] = "-1"
            lines.append(f"{i}.png,{','.join(cells)}")
        (root / split / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(data):
    small = ("model.image_size=32", "model.backbone.width=0.0625", "training.epochs=2")
    fast = (
        "training.batch_size=8",
        "training.optimizer.learning_rate.warmup_epochs=0",
        "training.tensorboard=false",
    )
    return vg.train(data, *small, *fast, "model.head.threshold=0.4", output=data / "run")


def sample(labels):
    return Sample(ImageInfo(0, None, (8, 8)), labels=np.array(labels, np.float32))


def ranking(scores):
    order = np.argsort(-scores, kind="stable")
    return Ranking(order.astype(np.int32), scores[order])


def test_the_task_follows_from_the_labels(data, tmp_path):
    recipe = resolve(data)
    assert (recipe.task, recipe.model.head.num_classes) == ("multi_label", 3)
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True), (tmp_path / split / "b").mkdir()
        for name in ("a", "b"):
            cv2.imwrite(str(tmp_path / split / name / "0.png"), np.zeros((8, 8, 3), np.uint8))
    assert resolve(tmp_path).task == "classification"
    # Images with one class each are multi-label data as well, if the task is named.
    assert type(resolve(tmp_path, task="multi_label").model.head).__name__ == "MultiLabel"


def test_metrics_equal_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    true = rng.integers(0, 2, (60, 3)).astype(np.float32)
    # Rounded, so that some scores are equal; one of them is the threshold.
    scores = rng.random((60, 3)).round(1).astype(np.float32)
    true[::6, 1] = np.nan
    metric, half = (MultiLabelScores(ClassMap(NAMES), 0.3) for _ in range(2))
    for i, (t, s) in enumerate(zip(true, scores, strict=True)):
        (metric if i % 2 else half).update_state([sample(t)], [ranking(s)])
    metric.merge_state([half])
    rows, found = metric.per_class(), metric.result()
    known = ~np.isnan(true)
    positive = scores >= np.float32(0.3)
    for i, name in enumerate(NAMES):
        t, s, p = (array[known[:, i], i] for array in (true, scores, positive))
        assert rows[name] == pytest.approx({
            "AP": average_precision_score(t, s), "F1": f1_score(t, p),
            "precision": precision_score(t, p), "recall": recall_score(t, p), "images": t.sum(),
        })  # fmt: skip
    assert found["mAP"] == pytest.approx(np.mean([row["AP"] for row in rows.values()]))
    assert found["F1"] == pytest.approx(np.mean([row["F1"] for row in rows.values()]))
    assert found["F1_micro"] == pytest.approx(f1_score(true[known], positive[known]))
    metric.reset_state()
    metric.update_state([sample([1, 0, 0])], [ranking(np.array([0.9, 0.1, 0.2], np.float32))])
    assert np.isnan(metric.per_class()["green"]["AP"])
    assert metric.result()["mAP"] == 1
    with pytest.raises(UserError, match="has no weights"):
        metric.update_state([], [], sample_weight=[1])


@pytest.mark.backends
def test_unknown_labels_have_no_gradient():
    head = vg.heads.MultiLabel(num_classes=3)
    context = HeadContext(head, (32, 32), None)
    logits = np.array([[0.5, 7.0, -1.0]], np.float32)
    given = {"labels": np.array([[1.0, np.nan, 0.0]], np.float32)}

    def term(logits, targets, loss=head.loss):
        return loss({"p5": {"classes": logits}}, targets, context)["class"]

    expected = np.log1p(np.exp(-0.5)) + np.log1p(np.exp(-1.0))
    assert float(term(logits, given).total) == pytest.approx(expected)
    assert float(term(logits, given).count) == 2
    moved = logits + np.array([[0, -9, 0]], np.float32)
    assert float(term(moved, given).total) == pytest.approx(expected)
    not_annotated = given | {"known_classes": np.array([[True, True, False]])}
    assert float(term(logits, not_annotated).total) == pytest.approx(np.log1p(np.exp(-0.5)))
    assert float(term(logits, not_annotated).count) == 1
    weighted = vg.losses.MultiLabelLoss(class_weights=(0, 1, 2))
    assert float(term(logits, given, weighted).total) == pytest.approx(2 * np.log1p(np.exp(-1)))
    nothing = {"labels": np.full((1, 3), np.nan, np.float32)}
    assert float(quotients(head.loss({"p5": {"classes": logits}}, nothing, context))["class"]) == 0
    with pytest.raises(UserError, match="2 class weights"):
        term(logits, given, vg.losses.MultiLabelLoss(class_weights=(1, 2)))
    scores = head.decoding({"p5": {"classes": logits}}, context)["scores"]
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scores), expected, rtol=1e-6)


def test_a_run_and_its_threshold(run, data):
    model = vg.load(run.folder / "best.keras")
    assert run.history[-1].keys() >= {"loss", "class", "mAP", "F1"}
    assert task_of(model).score == 0.4
    result = evaluate(model, data)
    images = [data / "val" / f"{i}.png" for i in range(10)]
    scores = np.zeros((10, 3))
    for row, found in zip(scores, predict(model, images, score=0), strict=True):
        row[found.classes] = found.scores
    true = np.array([each.labels for each in read(data, split="val")])
    known = ~np.isnan(true)
    assert result["F1_micro"] == pytest.approx(f1_score(true[known], scores[known] >= 0.4))
    for found, row in zip(predict(model, images), scores, strict=True):
        assert sorted(found.classes) == np.flatnonzero(row >= 0.4).tolist()
    auc = keras.metrics.AUC(multi_label=True, num_labels=3, name="auc")
    assert 0 <= evaluate(model, data, metrics=[auc])["auc"] <= 1


@pytest.mark.slow
def test_by_command(run, data, tmp_path, capsys):
    model, out = run.folder / "best.keras", tmp_path / "out"

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        return printed.out

    assert "mAP" in command("evaluate", model, data)
    command("predict", model, data / "val", "--output", out, "--score", "0.001")
    rows = list(csv.DictReader((out / "labels.csv").read_text().splitlines()))
    assert list(rows[0]) == ["file", "classes", *NAMES]
    assert sorted(rows[0]["classes"].split(", ")) == sorted(NAMES)
    assert "no class in 10" in command(
        "predict", model, data / "val", "--output", out, "--score", "1"
    )
    assert json.loads((out / "labels.json").read_text())[0]["classes"] == []
    rows = list(csv.DictReader((out / "labels.csv").read_text().splitlines()))
    assert rows[0]["classes"] == ""
    assert "multi_label" in command("list", "task")


@pytest.mark.slow
def test_an_exported_file_predicts_the_same_labels(run, tmp_path):
    result = vg.export(run.folder / "best.keras", tmp_path / "labels.onnx")
    assert result.parity.agrees
    assert result.parity.what == "labels"


def test_a_difference_counts_decided_labels():
    task = find("multi_label")
    scores = np.array([[0.9, 0.5002], [0.1, 0.7]])
    near, far = ({"scores": scores - [0, error]} for error in (4e-4, 0.3))
    assert task.difference({"scores": scores}, near).agrees
    # The second class no longer applies to the first image, nor to the second one.
    assert task.difference({"scores": scores}, far).differing == 2


def test_all_labels_are_drawn():
    names = ClassMap(tuple("abcdefgh"))
    found = Ranking(np.arange(8), np.full(8, 0.9, np.float32), class_map=names)
    image = np.zeros((240, 320, 3), np.uint8)
    task, best = find("multi_label").draw(image, found), vg.drawing.draw(image, found)
    lines = [np.flatnonzero(drawn.any(axis=(1, 2))).max() for drawn in (best, task)]
    assert lines[1] > 2 * lines[0]  # eight lines, as opposed to three


def test_invalid_data_and_fields(data):
    values = vg.data.Dataset(ClassMap(("a",)), [sample([3.0])], label_map=LabelMap(("a",)))
    with pytest.raises(UserError, match="are values: a") as caught:
        find("multi_label").check(values)
    assert "regression" in caught.value.fix
    with pytest.raises(ConfigError, match="threshold"):
        vg.heads.MultiLabel(num_classes=2, threshold=1.5)


@pytest.mark.slow
def test_check_proves_loss_and_decoding():
    report = vg.check(vg.heads.MultiLabel(num_classes=3))
    assert report.ok, str(report)
    assert "decode to themselves" in report["loss_decode"].evidence
