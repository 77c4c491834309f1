"""Invalid input to every command: one paragraph with a fix, exit code 2, no file, no traceback."""

import json
import os
import sys

import pytest
import typer
from PIL import Image
from tests.cli.test_cli import every_command

import visiongarden as vg
from visiongarden.cli.entry import app, main
from visiongarden.scenes import make_scenes

# Files: text.txt, text.keras, text.cfg, list.yaml, bad.yaml, broken.py, values.py, image.png (all
# of another kind than their name), empty (a folder), scenes (boxes), two_points (a polygon),
# other_size (run lengths of another image size), classes.keras (a classifier).
CASES = """
new layr Foo
new layer 3x
list foo
list layer --import nowhere_at_all
check nowhere_at_all
check values
check values:Nope
check values nonsense
check visiongarden.layers:ConvNormAct --inputs abc
check visiongarden.layers:ConvNormAct --backends foo
check visiongarden.layers:ConvNormAct --skip foo
lint nowhere.py
lint text.txt
lint broken.py
lint empty
models --task foo
prove-resume
prove-resume nowhere
prove-resume empty
prove-resume scenes --kills 0
prove-resume scenes --steps 1
verify
verify nowhere
verify nowhere.yaml
verify list.yaml
verify bad.yaml
verify classes.keras
verify yolox-nano values:nope
verify yolox-nano values:X
show nowhere.keras
show nowhere.yaml
show text.keras
show text.txt
show image.png
show empty
show list.yaml
show bad.yaml
diff text.txt text.keras
diff nowhere.keras classes.keras
diff list.yaml classes.keras
diff empty empty
repeats nowhere.cfg
repeats text.cfg
repeats text.txt
repeats text.keras
repeats empty
data check nowhere
data check empty
data check text.txt
data check classes.keras
data check scenes --format foo
data check scenes --invalid-boxes foo
data convert nowhere copy --format yolo
data convert empty copy --format yolo
data convert scenes copy --format foo
data convert scenes copy --format folders
data convert scenes empty --format yolo
data show nowhere
data show empty
data show scenes --split foo
data show scenes foo
data show scenes training.epochs=3
data show scenes transforms.foo=1
data show scenes transforms.Mosaic.probability=foo
data show scenes --recipe nowhere.yaml
data show scenes --recipe list.yaml
data show scenes --recipe empty
data show scenes --output sheet.txt
demo --seed abc
recipe show nowhere
recipe show nowhere.yaml
recipe show list.yaml
recipe show bad.yaml
recipe show empty
recipe show text.txt
recipe show classes.keras
recipe show scenes foo
recipe show scenes training.foo=1
recipe show scenes training.epochs=abc
recipe show scenes --task foo
recipe schema --import nowhere_at_all
recipe diff nowhere scenes
recipe diff empty scenes
recipe diff list.yaml list.yaml
transfer nowhere.pt classes.keras --output new.keras
transfer text.txt classes.keras --output new.keras
transfer empty classes.keras --output new.keras
transfer classes.keras nowhere.keras --output new.keras
transfer classes.keras text.keras --output new.keras
transfer classes.keras classes.keras --output new.txt
transfer classes.keras classes.keras --output new.keras --rename foo
train nowhere
train nowhere.yaml
train list.yaml
train bad.yaml
train empty
train text.txt
train classes.keras
train scenes --task foo
train scenes --resume
train scenes --accept-changes
train scenes training.epochs=0
train scenes model.head.type=Foo
train scenes --output text.txt
train scenes --task instance_segmentation --output run
train scenes model.head.type=MaskRCNN --output run
train two_points --task instance_segmentation --output run
train other_size --task instance_segmentation --output run
evaluate nowhere.keras scenes
evaluate text.keras scenes
evaluate text.txt scenes
evaluate empty scenes
evaluate classes.keras nowhere
evaluate classes.keras empty
evaluate classes.keras scenes
predict nowhere.keras image.png
predict text.keras image.png
predict classes.keras nowhere.png
predict classes.keras empty
predict classes.keras text.txt
predict classes.keras image.png
export nowhere.keras
export text.keras
export text.txt
export empty
export classes.keras --format foo
export classes.keras --output new.txt
import-darknet nowhere.cfg
import-darknet text.cfg
import-darknet empty
import-darknet text.cfg --output new.txt
import-darknet text.cfg --names nowhere.txt
export-darknet nowhere.keras new.cfg new.weights
export-darknet text.keras new.cfg new.weights
export-darknet classes.keras new.cfg new.weights
""".strip().splitlines()


def write_objects(folder, segmentation):
    """Write a dataset of COCO with one object in each split."""
    box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 32, 32], "segmentation": segmentation}
    image = {"id": 1, "file_name": "a.png", "height": 64, "width": 64}
    rows = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    (folder / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (folder / split).mkdir()
        Image.new("RGB", (64, 64)).save(folder / split / "a.png")
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invalid")
    for name in ("text.txt", "text.keras", "text.cfg", "image.png"):
        (folder / name).write_text("hello")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "bad.yaml").write_text("a: [")
    (folder / "broken.py").write_text("def (")
    (folder / "values.py").write_text("X = 1\n")
    (folder / "empty").mkdir()
    make_scenes(folder / "scenes", 6, (64, 64))
    write_objects(folder / "two_points", [[1, 1, 30, 30]])
    write_objects(folder / "other_size", {"size": [9, 9], "counts": [0, 9, 72]})
    backbone = vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p5",))
    head = vg.heads.Classification(num_classes=2)
    vg.Classifier(backbone, head, image_size=64).save(folder / "classes.keras")
    return folder


def files_in(folder):
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_every_command_has_a_case():
    names = dict(every_command(typer.main.get_command(app)))
    assert all(any(case.startswith(name) for case in CASES) for name in names)


@pytest.mark.parametrize("line", CASES)
def test_invalid_input(folder, monkeypatch, capsys, line):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [os.fspath(folder), *sys.path])
    before = files_in(folder)
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert files_in(folder) == before
    # Usage errors are those of the parser, which names the option and `--help`.
    message = printed.err[printed.err.lower().index("error: ") :]
    assert "\n\n" not in message
    is_usage = "--help" in printed.err
    assert is_usage or any(w in message for w in ("  fix: ", "  rule: ", ": must be ")), message


def test_options_that_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "a.keras", "b.png", "-q", "-v"])
    assert ended.value.code == 2
    assert "--quiet and --verbose cannot be combined" in capsys.readouterr().err
