"""Documentation: files are written, commands run in order, and names exist."""

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import typer
from tests.doctor.test_doctor_kinds import folders, masks, packed
from tests.weights.test_references import state_of, stored

import visiongarden as vg
from visiongarden import registry
from visiongarden.cli.entry import app, main
from visiongarden.config import load_yaml
from visiongarden.errors import DataError
from visiongarden.kinds import KINDS
from visiongarden.recipes import Recipe
from visiongarden.scenes import make_scenes
from visiongarden.testing import check_component, discover
from visiongarden.testing.component_checking import kind_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))


def blocks(page):
    return re.findall(r"```(\w*)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def block(page, word):
    """Return the code block of a page that contains a word."""
    return next(text for _, text in blocks(page) if word in text)


def command_lines(page):
    """Return the lines in the code blocks of a page that call visiongarden."""
    scripts = [text for kind, text in blocks(page) if kind == "sh"]
    lines = [line for text in scripts for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("visiongarden ")]


# One epoch on a few small scenes is enough for the test.
SMALL = ["training.epochs=1", "training.batch_size=4", "model.image_size=64"]
QUICK = ["--backends", "tensorflow"]


def run(folder, words):
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    # `diff` compares models that differ.
    code = int("diff" in words)
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def command(line):
    words = shlex.split(line)
    if "--backends" in words:
        at = words.index("--backends")
        del words[at : at + 2]
    more = {"train": SMALL, "check": QUICK}.get(words[1], [])
    return ["-m", *words, *more]


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "__init__.py").touch()
    make_scenes(tmp_path / "my_images", 12, (64, 64))
    ran = []
    for kind, text in blocks("customize.md"):
        named = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if named:
            (tmp_path / named[1]).write_text(text)
        elif kind == "python":
            run(tmp_path, ["-c", text])
        elif kind == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("visiongarden"):
                    ran.append(line.split()[1])
                    run(tmp_path, command(line))
    assert ran == ["lint", "check", "check", "check", "verify", "show", "diff", "train", "transfer"]


def test_the_page_about_data_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_scenes(tmp_path / "my_images", 6, (64, 64))
    packed(folders(tmp_path / "my_folders"), tmp_path / "my_folders.zip")
    masks(tmp_path / "my_masks")
    lines = [line for kind, text in blocks("data.md") if kind == "sh" for line in text.splitlines()]
    assert len(lines) == 8
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            main(line.split()[1:])
        assert ended.value.code == 0, line
    assert {"my_folders_fixed", "my_yolo", "my_copy", "report.html", "masks.png"} <= {
        item.name for item in tmp_path.iterdir()
    }


def test_the_page_about_data_scales_a_12_bit_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("scan.png", np.full((8, 8), 4095, np.uint16))
    exec(block("data.md", "scan.png"), {})  # noqa: S102  text of this repository
    assert cv2.imread("scan.png", cv2.IMREAD_UNCHANGED).max() == 4095 << 4


def test_the_page_about_data_reads_five_channels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("data.md", "scene.npy"), names)  # noqa: S102  text of this repository
    assert capsys.readouterr().out == "5 channels of uint16\n"
    assert names["picture"].shape == (60, 80, 3)


def test_the_recipe_of_the_page_about_training_is_valid():
    fields = load_yaml(block("train.md", "invalid_boxes: drop"))
    fields["model"]["head"]["num_classes"] = 3
    assert Recipe.from_dict(fields).training.epochs == 60


@pytest.mark.parametrize(
    ("page", "word"), [("train.md", "KerasApplication("), ("weights.md", "cards.build(")]
)
def test_the_models_of_the_pages_are_built(page, word):
    exec(block(page, word), {})  # noqa: S102  text of this repository


def test_the_page_about_transforms_runs(tmp_path, monkeypatch):
    if importlib.util.find_spec("albumentations") is None:
        stand_in = ROOT / "tests" / "transforms" / "stand_in"
        info = tmp_path / "albumentations-2.0.8.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: albumentations\nVersion: 2.0.8\n")
        monkeypatch.syspath_prepend(str(stand_in))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    (tmp_path / "my_project").mkdir()
    names = {}
    for _, text in blocks("transforms.md"):
        named = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if named:
            (tmp_path / named[1]).write_text(text)
    for kind, text in blocks("transforms.md"):
        if kind == "python" and not re.match(r"# \S+\.py\n", text):
            exec(text, names)  # noqa: S102  text of this repository
    assert names["sample"].image.shape == (160, 160, 3)
    assert names["sheet"].shape[0] > 9 * 320
    listed = load_yaml(tmp_path / "function.yaml")["transforms"]
    function = vg.transforms.Transform.from_dict(listed[0])
    assert function.resolve() is names["darken"]
    for name in [n for n in sys.modules if n.split(".")[0] in ("my_project", "albumentations")]:
        del sys.modules[name]


def nuclei(folder, count=8):
    """Write images of 64 × 64 pixels with three discs each, and a file for each disc."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = np.zeros((64, 64, 3), np.uint8)
        for kind in ("images", "masks"):
            (folder / f"{number:02}" / kind).mkdir(parents=True)
        for disc in range(3):
            mask = np.zeros((64, 64), np.uint8)
            x, y = (int(rng.integers(10, 54)), 10 + 22 * disc)
            cv2.circle(mask, (x, y), 8, 255, -1)
            image[mask > 0] = rng.integers(100, 255, 3)
            cv2.imwrite(str(folder / f"{number:02}/masks/{disc}.png"), mask)
        cv2.imwrite(str(folder / f"{number:02}/images/{number:02}.png"), image)


@pytest.fixture
def nuclei_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nuclei(tmp_path / "nuclei" / "train")
    nuclei(tmp_path / "nuclei" / "val", 4)
    return tmp_path


def test_the_data_of_the_page_about_instance_segmentation(nuclei_folder, capsys):
    lines = command_lines("instance_segmentation.md")
    quick = [line for line in lines if line.split()[1] in ("data", "recipe")]
    assert len(quick) == 4
    for line in quick:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line)[1:])
        assert ended.value.code == 0, line
    assert "type: AnchorFreeMasks" in capsys.readouterr().out
    assert vg.read("nuclei_coco").row(0).polygons is not None
    assert (nuclei_folder / "sheet.png").is_file()


@pytest.mark.slow
def test_the_page_about_instance_segmentation_runs(nuclei_folder):
    (nuclei_folder / "cell.png").write_bytes(
        (nuclei_folder / "nuclei/train/00/images/00.png").read_bytes()
    )
    names = {}
    ran = []
    for kind, text in blocks("instance_segmentation.md"):
        # After one epoch, the file's boxes differ by 0.05 pixels, more than an export accepts.
        if "onnx" in text:
            continue
        # Untrained, no box has a score of 0.5.
        text = text.replace("0.5", "0.001")
        if kind == "python":
            exec(text, names)  # noqa: S102  text of this repository
            continue
        for line in text.splitlines():
            if line.startswith("visiongarden"):
                ran.append(line.split()[1])
                run(nuclei_folder, command(line))
    assert ran == [
        *("data", "data", "recipe", "data", "train", "evaluate", "predict"),
        *("new", "check"),
    ]
    assert len(names["polygons"]) == len(names["encoded"]) == len(names["found"])
    assert (nuclei_folder / "predictions" / "cell.png").is_file()


def test_the_page_about_losses_runs(monkeypatch):
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    names = {}
    for kind, text in blocks("losses.md"):
        if kind == "python":
            exec(text.replace("@vg.register", '@vg.register(package="page")'), names)  # noqa: S102
    head = vg.heads.AnchorFree(num_classes=3, assigner=names["NearestObject"]())
    assert head.to_dict()["assigner"] == {"type": "NearestObject"}
    shapes = names["CountHead"]().shapes(vg.backbones.CSPDarknet().spec())
    assert list(shapes["p3"]) == ["count"]
    # At p = 0.5 the cross-entropy is log 2, and the added term is 0.5.
    assert float(names["Poly"]()(1.0, np.float32(0))) == pytest.approx(np.log(2) + 0.5)


def test_the_page_about_losses_names_all():
    text = (DOCS / "losses.md").read_text(encoding="utf-8")
    bases = (vg.losses.Loss, vg.losses.ScoreLoss, vg.losses.BoxLoss, vg.losses.RegionLoss)
    kinds = [k for base in (*bases, vg.assigners.Assigner) for k in base.kinds().values()]
    names = {k.__name__ for k in kinds if k.__module__.startswith("visiongarden.")}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_page_about_transforms_names_all():
    text = (DOCS / "transforms.md").read_text(encoding="utf-8")
    kinds = vg.transforms.Transform.kinds().values()
    names = {k.__name__ for k in kinds if k.__module__.startswith("visiongarden.")}
    assert {name for name in names if f"`{name}`" not in text} == set()
    for code in ("my_project/fog.py", "my_project/squeeze.py"):
        lines = [line for line in block("transforms.md", code).splitlines() if line.strip()]
        assert len(lines) <= 16  # 15 and the name of the file


@pytest.fixture
def extensions(tmp_path, monkeypatch):
    """The modules of the page about extending, by kind."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    objects = keras.saving.get_custom_objects()
    before = dict(objects)
    (tmp_path / "my_project").mkdir()
    for _, text in blocks("extend.md"):
        if named := re.match(r"# (my_project/\w+\.py)\n", text):
            (tmp_path / named[1]).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [path.stem for path in (tmp_path / "my_project").glob("*.py")]
    yield {name: importlib.import_module(f"my_project.{name}") for name in names}
    objects.clear()
    objects.update(before)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


AS_LAYERS = ("layer", "block", "backbone", "decoder", "head")


def test_the_page_about_extending_has_a_valid_example_of_each_kind(extensions):
    assert set(extensions) == set(KINDS)
    for kind, module in extensions.items():
        assert len(block("extend.md", f"# my_project/{kind}.py").splitlines()) <= 32
        found = [value for value in discover(module.__name__) if kind_of(value) == kind]
        assert len(found) == 1, kind
        if kind not in (*AS_LAYERS, "exporter"):
            report = check_component(found[0])
            assert report.ok, report
            assert not report.warnings, report


@pytest.mark.slow
def test_the_other_examples_of_the_page_about_extending_are_valid(extensions):
    for kind in (*AS_LAYERS, "exporter"):
        report = vg.check(f"my_project.{kind}", backends=())
        assert report.ok, report


def test_the_page_about_extending_has_the_table_of_kinds():
    text = (DOCS / "extend.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \| `(vg\.\w+)` \|", text, re.MULTILINE
    )
    found = {row[0]: row[1:] for row in rows}
    assert list(found) == list(KINDS)
    for name, (summary, bases, members, home) in found.items():
        kind = KINDS[name]
        assert (summary, members) == (kind.summary, kind.members)
        assert bases == ", ".join(f"`{base}`" for base in kind.base_names)
        assert home == kind.home.replace("visiongarden", "vg")


@pytest.mark.slow
def test_training_in_python_runs(tmp_path):
    make_scenes(tmp_path / "my_images", 12, (64, 64))
    code = block("train.md", "make_validator(val)")
    for published, small in (
        ("width=0.25", "width=0.0625"),
        ("320", "64"),
        ("epochs=100", "epochs=1"),
    ):
        assert published in code
        code = code.replace(published, small)
    run(tmp_path, ["-c", code])
    assert (tmp_path / "runs" / "python" / "best.keras").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page):
    for line in command_lines(page):
        words = shlex.split(line.split(" > ")[0], comments=True)[1:]
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with command.make_context(command.name, words):
            pass


# Options of torchrun and sbatch.
OTHERS = {
    "scale.md": {
        "--nnodes", "--node-rank", "--nproc-per-node", "--master-addr", "--master-port",
        "--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--signal",
    },
}  # fmt: skip


def options(command):
    inner = getattr(command, "commands", {}).values()
    return {name for p in command.params for name in p.opts}.union(*map(options, inner))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_exists(page):
    text = page.read_text(encoding="utf-8")
    known = options(typer.main.get_command(app)) | {"--help"} | OTHERS.get(page.name, set())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known
    for name in set(re.findall(r"\bvg((?:\.[a-zA-Z_]\w*)+)", text)):
        found = vg
        for step in name.split(".")[1:]:
            found = getattr(found, step)
    for module, names in re.findall(r"^from (visiongarden[\w.]*) import (.+)$", text, re.MULTILINE):
        found = importlib.import_module(module)
        assert all(hasattr(found, name.strip()) for name in names.split(",")), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_field_of_a_recipe_exists(page):
    from visiongarden.recipes.evaluation_settings import Evaluation
    from visiongarden.recipes.recipe import Data, Model
    from visiongarden.training import Training
    from visiongarden.transforms import Transform

    known = {
        "model": {"card", *Model.model_fields},
        "data": set(Data.model_fields),
        "training": set(Training.model_fields),
        "evaluation": set(Evaluation.model_fields),
        "transforms": set(Transform.kinds()),
    }
    text = page.read_text(encoding="utf-8")
    groups = "|".join(known)
    for group, field in re.findall(rf"\b({groups})\.(\w+)[\w.]*=", text):
        assert field in known[group], f"a recipe has no field {group}.{field}"


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_page_about_data_names_all_readers():
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    kinds = vg.data.Reader.kinds().values()
    names = {kind.__name__ for kind in kinds if kind.__module__.startswith("visiongarden.")}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_masks_and_keypoints_of_the_page_about_readers():
    names = {}
    exec(block("readers.md", "left_leaf"), names)  # noqa: S102  text of this repository
    objects = names["objects"]
    assert objects.masks.area().tolist() == [160]  # half of 16 × 20
    assert objects.keypoints.can_mirror


def test_the_reader_of_the_page_reads(tmp_path, monkeypatch):
    code = block("readers.md", "class Garden")
    (tmp_path / "garden_reader.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "garden_reader", raising=False)
    assert len(code.splitlines()) <= 40
    known = dict(registry._known)
    folder = tmp_path / "my_garden" / "train"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.zeros((30, 40, 3), np.uint8))
    (folder / "a.garden").write_text("rose 4 6 20 26\ntulip 0 0 40 30\n")
    try:
        garden = importlib.import_module("garden_reader").Garden
        found = vg.read(tmp_path / "my_garden")
        assert np.asarray(found[0].instances.boxes).tolist() == [[4, 6, 20, 26], [0, 0, 40, 30]]
        assert found.counts().tolist() == [1, 1]
        half = vg.read(tmp_path / "my_garden", reader={"type": "Garden", "scale": 0.5})
        assert np.asarray(half[0].instances.boxes)[0].tolist() == [2, 3, 10, 13]
        (folder / "a.garden").write_text("rose 4 6 20 26\noak 0 0 40 30\nrose 1 2\n")
        with pytest.raises(DataError, match=r"has 2 errors") as caught:
            vg.read(tmp_path / "my_garden")
        assert "a.garden:2: not a plant and a box: oak" in str(caught.value)
        report = vg.check(garden, backends=())
        assert report.ok, str(report)
        assert report["damaged"].status == "passed"
    finally:
        registry._known.clear()
        registry._known.update(known)


@pytest.mark.slow
def test_the_page_about_fine_tuning_runs(tmp_path, monkeypatch):
    """From a checkpoint in PyTorch's format, whose numbers are random, to an exported model."""
    torch = pytest.importorskip("torch", reason="it writes the checkpoint")
    monkeypatch.chdir(tmp_path)
    named, _, _ = stored("torchvision-mobilenet_v2")
    state = {name: torch.as_tensor(value) for name, value in state_of(named).items()}
    torch.save(state, "mobilenet_v2-b0353104.pth")
    folders(tmp_path / "my_images")
    photo = next((tmp_path / "my_images").rglob("*.png"))
    (tmp_path / "photo.jpg").write_bytes(cv2.imencode(".jpg", cv2.imread(str(photo)))[1].tobytes())
    lines = command_lines("finetune.md")
    chain = [
        line for line in lines if "mobilenet_v2" in line or re.search(r"runs/(tuned|fro)", line)
    ]
    assert [line.split()[1] for line in chain] == [
        *("train", "train", "evaluate", "predict", "export")
    ]
    for line in chain:
        run(tmp_path, command(line))
    assert json.loads((tmp_path / "runs/tuned/weights.json").read_text())["report"]["coverage"] == 1
    assert (tmp_path / "runs/tuned/best.onnx").is_file()
