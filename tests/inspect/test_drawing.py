"""The page and the SVG file show all layers; the page can be expanded in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import keras
import pytest

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.inspect import show
from visiongarden.inspect.drawing import every_box


@pytest.fixture(scope="module")
def figure():
    with weightless():
        model = vg.Detector(
            vg.backbones.Darknet53(width=0.25),
            vg.decoders.YOLOv3Decoder(width=0.25),
            vg.heads.AnchorBased(num_classes=3),
        )
    return show(model, 128)


def test_boxes_follow_the_model(figure):
    boxes = {box.path: box for box in figure.boxes}
    assert boxes["backbone/stem"].reads == ("image",)
    assert boxes["backbone/stage3"].level == "p3"
    assert boxes["decoder/join_p3"].reads == ("decoder/up_p3", "backbone/stage3")
    assert boxes["head/p5_conv"].reads == ("decoder/block_p5",)
    stage = boxes["backbone/stage3"]
    assert [(box.name, box.repeats) for box in stage.inner] == [("down", 1), ("unit1", 8)]
    assert stage.output == (16, 16, 64)
    unit = stage.inner[1]
    assert [box.name for box in unit.inner] == ["conv1", "conv2", "sum"]
    assert unit.inner[2].reads == ("entry", "backbone/stage3/unit1/conv2")
    assert sum(box.count.macs for box in stage.inner) == stage.count.macs
    assert sum(box.count.total for box in figure.boxes) == figure.count.total


class Page(HTMLParser):
    """Ids, what refers to them, and every address that the page would load."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.wants, self.loads, self.open = set(), set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        self.wants |= {values[key] for key in ("data-opens", "aria-controls") if key in values}
        self.loads += [values[key] for key in ("src", "href", "srcset") if key in values]


def test_the_page_is_self_contained(figure):
    text = figure.html()
    page = Page(text)
    assert page.wants <= page.ids
    assert page.wants
    assert page.loads == []
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert all(word in text for word in ("×8", "16 × 16 × 64", "stage5", "prefers-color-scheme"))


def test_the_svg_file_contains_the_boxes_and_needs_no_custom_properties(figure):
    root = ElementTree.fromstring(figure.svg())  # noqa: S314 (our own text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    names = [box.name for box in figure.boxes if not box.sign]
    assert sorted(name for name in texts if name in names) == sorted(names)
    assert "16 × 16 × 64" in texts
    assert "+" not in texts  # nothing can be expanded
    style = root.find("{http://www.w3.org/2000/svg}style").text
    assert "var(" not in style
    assert ".row { fill: #f1efe9; }" in style
    box = next(
        each for each in root.iter() if each.get("aria-label") == "backbone/stem, ConvNormAct"
    )
    assert "c0" in box.get("class").split()
    assert "g.c0 { color: #2f6fb3; }" in style


def test_names_are_escaped(figure):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs), name="<script>alert(1)")
    assert "<script>alert" not in show(model, 8).html()
    assert "<script>alert" not in show(model, 8).svg()


def test_any_model_with_parts_and_any_keras_model():
    plain = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
    boxes = show(plain, 32).boxes
    assert {box.part for box in boxes} == {plain.name}
    assert boxes[0].reads == ("image",)
    part = show(vg.backbones.ResNet(depth=18), 64)
    assert [box.level for box in part.boxes if box.level] == ["p3", "p4", "p5"]
    assert part.html()


def test_json_and_files(figure, tmp_path):
    listed = json.loads(json.dumps(figure.to_dict()))
    assert listed["count"]["total"] == figure.count.total
    assert len(listed["boxes"]) == len(figure.boxes)
    assert figure.save(tmp_path / "a.html").read_text(encoding="utf-8") == figure.html()
    assert figure.save(tmp_path / "a.svg").read_text(encoding="utf-8") == figure.svg()
    with pytest.raises(UserError, match=r"--output .*a\.html"):
        figure.save(tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.svg"]


DRIVE = """<script>
const log = [];
window.onerror = (message) => log.push("error " + message);
const click = (box) => box.dispatchEvent(new MouseEvent("click", {bubbles: true}));
const state = () => [...document.querySelectorAll("section")].filter((s) => !s.hidden).length;
const stage = document.querySelector('[aria-label^="backbone/stage3,"]');
log.push(state());
click(stage); log.push(state(), stage.getAttribute("aria-expanded"));
click(document.querySelector('[aria-label^="backbone/stage3/unit1,"]')); log.push(state());
stage.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
log.push(state());
document.getElementById("all").click(); log.push(state());
document.getElementById("none").click(); log.push(state());
stage.dispatchEvent(new PointerEvent("pointermove", {clientX: 40, clientY: 40}));
log.push(document.getElementById("hover").textContent.split("\\n")[0]);
document.title = JSON.stringify(log);
</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the program chromium")
def test_expanding_in_a_browser(figure, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(figure.html().replace("</body>", DRIVE), encoding="utf-8")
    ran = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    log = json.loads(re.search(r"<title>(.*?)</title>", ran.stdout)[1])
    blocks = sum(bool(box.inner) for box in every_box(figure.boxes))
    # Closed; the stage; also its unit; the stage closes both; all; none.
    assert log == [0, 1, "true", 2, 0, blocks, 0, "backbone/stage3"]
