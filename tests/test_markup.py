"""What notebooks show: correct numbers, and names from files never as markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import markup
from visiongarden.cards import verify
from visiongarden.evaluation import EvaluationResult
from visiongarden.inspect import show
from visiongarden.models.notebook import facts
from visiongarden.recipes import TrainingResult
from visiongarden.testing import Finding, Report
from visiongarden.types import ClassMap, FeatureSpec, LevelSpec, Ranking, Segments
from visiongarden.weights import TransferReport
from visiongarden.weights.report import Mismatch, Moved, Weight

EVIL = "<script>alert('1')</script>&amp;\x1b[2J\u202e"
NAMES = (EVIL, "dog")


class Page(HTMLParser):
    """The tags and the text of a page; fails on what runs or loads something."""

    VOID = frozenset({"img", "br"})
    TAGS = VOID | {"div", "p", "b", "table", "tr", "th", "td", "pre", "details", "summary"}
    TAGS |= {"ul", "li"}
    ATTRIBUTES = frozenset({"style", "alt", "src"})

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.cells = [], "", []
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in self.TAGS, tag
        assert {name for name, _ in attrs} <= self.ATTRIBUTES, attrs
        assert all(v.startswith("data:image/") for name, v in attrs if name == "src")
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.fixture(scope="module")
def model():
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.125),
        decoder=vg.decoders.PathAggregation(depth=0.33),
        head=vg.heads.AnchorFree(num_classes=2),
        image_size=64,
        class_map=NAMES,
        name="pets",
    )


def transfer_report():
    return TransferReport(
        source=EVIL,
        target="target",
        copied=(Moved("a", "a", 30),),
        renamed=(Moved(EVIL, "b", 10),),
        differs=(Mismatch("c", EVIL, "3 × 3", "1 × 1", 40, 50),),
        only_in_source=(Weight(EVIL, 7),),
        only_in_target=(Weight("e", 20),),
        classes=f"matched {EVIL}",
    )


def shown(value):
    page = Page(value._repr_html_())
    # The name is text, with visible escapes in place of control characters.
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    return page


def test_a_model(model):
    page = shown(model)
    assert "Detector pets" in page.text
    assert "64 × 64" in page.text
    assert "<script>alert('1')</script>&amp;\\x1b[2J\\u202e, dog" in page.text
    assert repr(model.parts.backbone) in page.cells
    for part in (model.backbone, model.decoder, model.head):
        assert f"{part.count_params():,}" in page.cells
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert f"{model.count_params():,}, {trainable:,} of them trainable" in page.cells
    assert "p3: 8 × 8 × 32; p4: 4 × 4 × 64; p5: 2 × 2 × 128" in page.cells


def test_a_model_of_any_size_without_names():
    plain = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    plain.image_size, plain.class_map = None, None
    plain.preprocessing, plain.resize = vg.Preprocessing(), vg.transforms.Letterbox()
    assert facts(plain) == [
        ("image size", "any"),
        ("preprocessing", str(vg.Preprocessing())),
        ("resize", "Letterbox()"),
        ("classes", "not named"),
        ("parameters", "8, 8 of them trainable"),
        ("dtype policy", "float32"),
    ]


def test_a_darknet_model():
    cfg = "[net]\nwidth=32\nheight=32\n[conv]\nfilters=8\nsize=3\npad=1\nstride=2"
    page = shown(vg.DarknetModel(cfg, class_map=NAMES))
    assert page.cells[-2:] == ["layer000_convolutional", "(16, 16, 8)"]


def test_specs_and_parts(model):
    spec = FeatureSpec({"p4": LevelSpec(64, 16), EVIL: LevelSpec(32, 8)})
    assert shown(spec).cells[-3:] == ["p4", "16", "64"]
    page = shown(vg.heads.AnchorFree(num_classes=3))
    assert "AnchorFree (head)" in page.text
    row = page.cells.index("num_classes")
    assert page.cells[row : row + 3] == ["num_classes", "3", ""]
    row = page.cells.index("levels")
    assert page.cells[row + 2] == "default"
    assert shown(ClassMap(NAMES, (4, 9))).cells[-3:] == ["1", "9", "dog"]


def test_results_of_an_evaluation():
    values = {"AP": 0.5, "AP50": float("nan")}
    per_class = {EVIL: values, "dog": {"AP": 0.25, "AP50": 1.0}}
    result = EvaluationResult(values, per_class, 12, note=EVIL)
    page = shown(result)
    assert "COCO metrics on 12 images" in page.text
    assert page.cells[:4] == ["AP", "AP50", "0.500", "–"]
    assert page.cells[-3:] == ["dog", "0.250", "1.000"]


def test_the_result_of_a_training_run():
    metrics = EvaluationResult({"AP": 0.5}, {EVIL: {"AP": 0.5}}, 12)
    epochs = [{"loss": 12.3456}, {"loss": 2.0, "AP": 0.5}]
    page = shown(
        TrainingResult(Path("run"), Path("run/best.keras"), Path("l"), metrics, epochs, None)
    )
    assert page.cells[-9:] == ["epoch", "loss", "AP", "1", "12.35", "", "2", "2", "0.5"]


def test_reports():
    report = Report(EVIL, (Finding("runs", "passed", EVIL), Finding("x", "failed", "y", EVIL)))
    page = shown(report)
    assert "INVALID (1 passed, 1 failed, 0 skipped)" in page.text
    assert page.cells[4:7] == ["runs", "passed", markup.printable(EVIL)]
    page = shown(transfer_report())
    row = page.cells.index("copied")
    # 30 of the 100 parameters of the target, 30 of the 97 of the source.
    assert page.cells[row : row + 5] == ["copied", "1", "30", "30.0%", "30.9%"]
    assert "only in source, largest first (1)" in page.text
    assert str(transfer_report()).count(markup.printable(EVIL)) >= 5


def test_every_report_has_a_page():
    packages = ("cards", "doctor", "evaluation", "exporters", "inspect", "linting", "recipes")
    packages += ("repetition", "testing", "weights")
    reports = [
        found
        for name in packages
        for module in [getattr(vg, name)]
        for found in (getattr(module, each) for each in module.__all__)
        if isinstance(found, type)
        and re.search("Report$|[a-z](Result|Diff)$|Figure$", found.__name__)
    ]
    assert len(reports) > 8
    missing = {each for each in reports if not {"_repr_html_", "_repr_png_"} & set(dir(each))}
    assert missing == set()


def test_reports_as_text(model):
    assert str(show(model)) == shown(show(model)).text
    assert "yolov3-tiny" in shown(verify("yolov3-tiny")).text


def test_rankings_and_segments():
    ranking = Ranking(
        np.array([1, 0]), np.array([0.75, 0.25], np.float32), class_map=ClassMap(NAMES)
    )
    assert shown(ranking).cells[2:4] == ["dog", "0.750"]
    classes = np.zeros((10, 10), np.uint8)
    classes[:3] = 1
    segments = Segments(classes, np.ones((10, 10), np.float32), class_map=ClassMap(NAMES))
    assert shown(segments).cells[2:] == [markup.printable(EVIL), "70.0%", "dog", "30.0%"]


def test_long_tables_are_cut():
    page = Page(markup.table(("n",), [[n] for n in range(1200)], limit=3))
    assert page.cells == ["n", "0", "1", "2"]
    assert "… 1,197 more" in page.text
