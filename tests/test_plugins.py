"""Packages of third parties: known by metadata, imported by name, never by a file."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import plugins, recipes, registry
from visiongarden.cli.entry import main
from visiongarden.config import KerasMetric, reading_files
from visiongarden.errors import ConfigError, UserError
from visiongarden.kinds import KINDS
from visiongarden.models.files import ModelFileError
from visiongarden.scaffold.listing import available, describe

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"
ENTRIES = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
][plugins.GROUP]


def install(folder, name, entries, version="0.1.0"):
    """Write the metadata that pip would write."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = entries if isinstance(entries, str) else "\n".join(f"{k} = {v}" for k, v in entries)
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{lines}\n")


def forget(*tops):
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    objects = keras.saving.get_custom_objects()
    before = dict(objects)
    yield
    objects.clear()
    objects.update(before)
    forget("acme_vision", "bolt_vision", "broken_vision", "own_module")


@pytest.fixture
def acme(clean, tmp_path, monkeypatch):
    """The example as if it were installed."""
    install(tmp_path / "site", "acme-vision", ENTRIES.items())
    monkeypatch.syspath_prepend(str(PLUGIN / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def is_imported(top="acme_vision"):
    return any(name.partition(".")[0] == top for name in sys.modules)


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    assert ended.value.code == code


def test_every_entry_of_the_example_is_a_registered_class_of_its_kind(acme):
    for plugin in plugins.installed():
        found = plugin.load()
        assert registry.key_of(found) == plugin.key
        if plugin.kind != "metric":  # any class with the methods of a metric is one
            assert issubclass(found, KINDS[plugin.kind].classes())
    assert {plugin.kind for plugin in plugins.installed()} > {
        "backbone", "loss", "transform", "reader", "task",
    }  # fmt: skip


def test_list_shows_a_package_without_importing_it(acme, capsys):
    run("list")
    assert "acme-vision 0.1.0" in capsys.readouterr().out
    run("list", "--json")
    found = json.loads(capsys.readouterr().out)
    assert {
        "kind": "backbone", "name": "PoolFormer", "module": "acme_vision.backbones",
        "attribute": "PoolFormer", "package": "acme-vision 0.1.0",
    } in found["plugins"]  # fmt: skip
    run("list", "loss")
    assert re.search(r"Asymmetric +acme-vision 0.1.0 +not imported", capsys.readouterr().out)
    assert not is_imported()


def test_list_of_one_component_imports_it(acme, capsys):
    run("list", "loss", "Asymmetric", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["package"], found["base"]) == ("acme_vision", "ScoreLoss")
    assert found["fields"][2] == {
        "name": "margin", "type": "float >= 0 < 1", "default": "0.05",
        "description": "Probability below which a negative has no loss.",
    }  # fmt: skip
    # Imported components are listed once, by their documentation.
    listed = [entry for entry in available("loss") if entry.name == "Asymmetric"]
    assert [entry.description[:15] for entry in listed] == ["Asymmetric loss"]


@pytest.mark.parametrize(
    "name", ["PoolFormer", "acme_vision>PoolFormer", "acme_vision.backbones:PoolFormer"]
)
def test_a_recipe_imports_what_it_names(acme, name):
    fields = {
        "model": {
            "backbone": {"type": name, "channels": [4, 8, 8, 8], "depths": [1, 1, 1, 1]},
            "head": {"type": "AnchorFree", "num_classes": 2},
        },
        "data": {"path": "my_images"},
    }
    recipe = recipes.resolve(fields)
    assert type(recipe.model.backbone).__module__ == "acme_vision.backbones"
    # Files of runs contain the recipe, with a name that is read again.
    assert recipes.resolve(recipe.to_dict()) == recipe


def test_overrides_tasks_and_metrics_import_what_they_name(acme):
    fields = {
        "model": {"head": {"type": "Grading", "num_classes": 3}},
        "data": {"path": "my_images"},
        "training": {"epochs": 2, "batch_size": 4},
    }
    overrides = ['evaluation.metrics=[{type: QuadraticKappa, classes: 3, name: "k"}]']
    recipe = recipes.resolve(fields, overrides=overrides, task="grading")
    assert recipe.task == "grading"
    assert recipe.evaluation.metrics[0].build().classes == 3


def test_a_reader_is_imported_by_name_and_never_by_a_dataset(acme, tmp_path, monkeypatch):
    folder = tmp_path / "garden"
    folder.mkdir()
    (folder / "train.boxes.jsonl").write_text(
        '{"image": "a.npy", "boxes": [{"name": "rose", "at": [0, 0, 4, 4]}]}\n'
    )
    np.save(folder / "a.npy", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="cannot be determined") as caught:
        vg.read(folder)
    assert "reader='BoxLines' of acme-vision 0.1.0" in str(caught.value.fix)
    assert not is_imported()
    monkeypatch.setattr(vg.data, "image_size", lambda path: (8, 8))
    assert vg.read(folder, reader="BoxLines").counts().tolist() == [1, 0]
    assert is_imported()


def test_python_names_the_import_that_is_missing(acme):
    with pytest.raises(ConfigError, match=r"acme-vision 0\.1\.0") as caught:
        vg.Backbone.from_dict({"type": "PoolFormer"})
    assert caught.value.fix.startswith("import acme_vision.backbones ")
    with pytest.raises(ConfigError, match=r"acme-vision 0\.1\.0"):
        KerasMetric.from_dict({"type": "QuadraticKappa"})
    with pytest.raises(ConfigError, match=r"did you mean PoolFormer"):
        vg.Backbone.from_dict({"type": "PoolForme"})
    assert not is_imported()


def test_load_names_the_package_and_imports_nothing(acme, tmp_path):
    import acme_vision

    pooled = acme_vision.PoolFormer(channels=(4, 4, 4, 4), depths=(1, 1, 1, 1), levels=("p2",))
    head = vg.heads.Classification(num_classes=2)
    vg.Classifier(pooled, head=head, image_size=32).save(tmp_path / "pool.keras")
    head = vg.heads.MultiLabel(
        num_classes=2, loss=vg.losses.MultiLabelLoss(class_loss=acme_vision.Asymmetric())
    )
    plain = vg.backbones.DarknetTiny(levels=("p3",))
    vg.Classifier(plain, head=head, image_size=32).save(tmp_path / "loss.keras")
    forget("acme_vision")
    for known in (registry._known, keras.saving.get_custom_objects()):
        for key in [key for key in known if key.startswith("acme_vision")]:
            del known[key]
    with plugins.imported_by_name():  # as while a recipe is read
        with pytest.raises(ModelFileError, match=r"acme_vision>PoolFormer") as caught:
            vg.load(tmp_path / "pool.keras")
        assert "the installed package acme-vision 0.1.0" in str(caught.value)
        assert caught.value.fix.startswith("import acme_vision.backbones ")
        loaded = vg.load(tmp_path / "loss.keras")
    with pytest.raises(UserError, match="cannot be trained") as caught:
        loaded.parts.head.chosen_loss()
    assert "import acme_vision" in caught.value.fix
    assert not is_imported()


def test_load_states_that_no_package_has_the_module(clean, tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text(
        "import visiongarden as vg\n\n\n@vg.register\nclass Own(vg.backbones.DarknetTiny):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_module

    head = vg.heads.Classification(num_classes=2)
    model = vg.Classifier(own_module.Own(levels=("p3",)), head=head, image_size=32)
    model.save(tmp_path / "own.keras")
    forget("own_module")
    del registry._known["own_module>Own"], keras.saving.get_custom_objects()["own_module>Own"]
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="no installed package has the module own_module"):
        vg.load(tmp_path / "own.keras")


def test_a_name_in_a_file_is_not_one_of_the_user(acme):
    with (
        plugins.imported_by_name(),
        reading_files(),
        pytest.raises(ConfigError, match="installed but"),
    ):
        vg.Backbone.find("PoolFormer")
    assert not is_imported()


BROKEN = """raise RuntimeError("a broken package")"""


def test_a_broken_package_is_reported_when_it_is_named(clean, tmp_path, monkeypatch, capsys):
    install(tmp_path, "broken-vision", [("backbone.Broken", "broken_vision:Broken")])
    (tmp_path / "broken_vision.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    run("list")
    run("list", "backbone")
    assert capsys.readouterr().out.count("broken-vision 0.1.0") == 2
    run("list", "backbone", "Broken", code=2)
    error = capsys.readouterr().err
    assert "broken-vision 0.1.0 cannot be imported: RuntimeError: a broken package" in error
    (tmp_path / "broken_vision.py").write_text("import sys\nsys.exit(0)\n")
    run("list", "backbone", "Broken", code=2)
    (tmp_path / "broken_vision.py").write_text("Other = 1\n")
    run("list", "backbone", "Broken", code=2)
    assert "does not define the backbone Broken" in capsys.readouterr().err


def test_invalid_metadata_break_nothing(clean, tmp_path, monkeypatch, capsys):
    install(
        tmp_path,
        "odd-vision",
        [
            ("backbon.Net", "odd_vision:Net"),
            ("backbone", "odd_vision:Net"),
            ("backbone.Net", "os.system('x')"),
            ("backbone.Clear\x1b[2J", "odd_vision:Net"),
            ("backbone.Long" + "x" * 500, "odd_vision:Net"),
        ],
    )
    damaged = tmp_path / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_bytes(b"Name: damaged\nVersion: 1.0\n")
    (damaged / "entry_points.txt").write_bytes(b"\xff\xfe[" + plugins.GROUP.encode())
    (tmp_path / "empty-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    run("list")
    out = capsys.readouterr().out
    assert out.count("odd-vision 0.1.0") == 5
    assert "there is no kind 'backbon'" in out
    assert "\x1b" not in out
    assert plugins.of_kind("backbone") == ()


def test_a_short_name_of_two_packages_is_an_error(acme, tmp_path, monkeypatch):
    install(tmp_path / "more", "bolt-vision", [("backbone.PoolFormer", "bolt_vision:PoolFormer")])
    (tmp_path / "more" / "bolt_vision.py").write_text(
        "import visiongarden as vg\n\n\n@vg.register\nclass PoolFormer(vg.backbones.CSPDarknet):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "more"))

    def resolved(name):
        head = {"type": "AnchorFree", "num_classes": 2}
        fields = {"model": {"backbone": {"type": name}, "head": head}, "data": {"path": "x"}}
        return recipes.resolve(fields)

    for _ in range(2):  # also after one of them is imported
        with pytest.raises(ConfigError, match="'PoolFormer' is ambiguous") as caught:
            resolved("PoolFormer")
        assert "acme_vision>PoolFormer" in str(caught.value)
        assert "bolt_vision>PoolFormer" in str(caught.value)
        recipe = resolved("bolt_vision>PoolFormer")
        assert recipe.to_dict()["model"]["backbone"]["type"] == "bolt_vision>PoolFormer"
    assert not is_imported()
    import acme_vision.backbones

    with pytest.raises(ConfigError, match="is ambiguous"):
        resolved("PoolFormer")
    assert type(resolved("acme_vision>PoolFormer").model.backbone) is (
        acme_vision.backbones.PoolFormer
    )


def test_a_package_changes_the_meaning_of_no_name_of_visiongarden(clean, tmp_path, monkeypatch):
    install(tmp_path, "bolt-vision", [("backbone.CSPDarknet", "bolt_vision:CSPDarknet")])
    monkeypatch.syspath_prepend(str(tmp_path))
    with plugins.imported_by_name():
        assert vg.Backbone.find("CSPDarknet") is vg.backbones.CSPDarknet
    assert not is_imported("bolt_vision")


def test_an_entry_must_name_a_class_of_its_kind(clean, tmp_path, monkeypatch):
    install(tmp_path, "bolt-vision", [("backbone.Neck", "bolt_vision:Neck")])
    (tmp_path / "bolt_vision.py").write_text("class Neck:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        plugins.imported_by_name(),
        pytest.raises(ConfigError, match="not a registered class derived from Backbone"),
    ):
        vg.Backbone.find("Neck")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_with_fields(kind):
    found = available(kind)
    assert found
    assert all(entry.name and entry.package and entry.path for entry in found)
    described = describe(kind, found[0].name)
    assert described.entry.name == found[0].name
    assert len({field.name for field in described.fields}) == len(described.fields)


def test_exporters_and_writers_are_listed_by_their_format():
    assert available("exporter")[0].name == "onnx"
    assert {"coco", "yolo"} <= {entry.name for entry in available("writer")}
    for name in ("onnx", "ONNX", "visiongarden>ONNX"):
        assert describe("exporter", name).entry.path.endswith(":ONNX")


def test_fields_have_types_defaults_and_descriptions():
    fields = {field.name: field for field in describe("head", "AnchorFree").fields}
    assert next(iter(fields)) == "num_classes"
    assert fields["num_classes"].default is None
    assert fields["assigner"].default == "TaskAligned()"
    assert fields["levels"].description  # of a base class
    optimizer = {field.name: field for field in describe("optimizer", "SGD").fields}
    assert optimizer["momentum"].default == "0.0"
    with pytest.raises(UserError, match="did you mean AnchorFree"):
        describe("head", "AnchorFre")
    with pytest.raises(UserError, match="did you mean head"):
        available("heads")


@pytest.mark.slow
def test_a_real_installation(tmp_path):
    """Install the example by pip into a fresh environment, and run its tests and commands there."""
    env = tmp_path / "env"
    python = env / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    site = next((env / "lib").glob("python*/site-packages"))
    # Packages of this environment, as with --system-site-packages, also from a second environment.
    (site / "outer.pth").write_text(
        "".join(
            f"import site; site.addsitedir({p!r})\n"
            for p in sys.path
            if p.endswith("site-packages")
        )
    )
    source = str(Path(vg.__file__).parents[1])
    (site / "source.pth").write_text(f"{source}\n")
    pip = [python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    shutil.copytree(PLUGIN, tmp_path / "plugin")  # the build writes beside the source
    done = subprocess.run(
        [*pip, tmp_path / "plugin"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr

    def output(*words):
        done = subprocess.run(
            [python, "-m", *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "acme-vision 0.1.0" in output("visiongarden", "list")
    assert "positive_gamma" in output("visiongarden", "list", "loss", "Asymmetric")
    output("visiongarden", "check", "acme_vision.losses", "--backends", "none")
    output("pytest", "-q", "-p", "no:cacheprovider", tmp_path / "plugin" / "tests")
