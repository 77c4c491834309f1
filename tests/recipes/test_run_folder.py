"""Runs that were killed, diverged, or are resumed on other data."""

import errno
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from typing import ClassVar

import cv2
import keras
import numpy as np
import pytest
from tests.make_samples import sample

import visiongarden as vg
from visiongarden.backends import half_precision
from visiongarden.cli.entry import main
from visiongarden.data import Dataset, fingerprint, read
from visiongarden.errors import NotFiniteError, UserError
from visiongarden.recipes import resolve, train
from visiongarden.recipes.run_folder import after_short_memory, is_unfinished, locked, new_folder
from visiongarden.scenes import make_scenes
from visiongarden.scenes.scenes import make_mask_scenes
from visiongarden.training import DataChangedError
from visiongarden.training.precision import Precision
from visiongarden.types import ClassMap, Term

module = importlib.import_module("visiongarden.recipes.running")


@vg.register(package="test_run_folder")
class Patches(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """12 images of two classes to train on, 4 for validation."""
    root = tmp_path_factory.mktemp("data") / "set"
    for number in range(16):
        split = "val" if number % 4 == 3 else "train"
        folder = root / split / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return root


@pytest.fixture
def data(images, tmp_path):
    return shutil.copytree(images, tmp_path / "set")


def optimizer(peak=0.001, **fields):
    return {"learning_rate": {"peak": peak, "warmup_epochs": 0}, "weight_decay": 0.02} | fields


def recipe(data, **training):
    known = resolve(data, overrides=["model.image_size=32"])
    head = vg.heads.Classification(num_classes=2)
    parts = {"backbone": Patches(), "decoder": vg.decoders.PassOn(levels=("p5",)), "head": head}
    settings = {"epochs": 3, "batch_size": 4, "optimizer": optimizer(), "tensorboard": False}
    return known.replace(
        model=known.model.replace(**parts), training=known.training.replace(**settings | training)
    )


def states(folder):
    """Name -> bytes of all files."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


class Killed(BaseException):
    """Simulates SIGKILL: nothing in the program handles it."""


def killed(monkeypatch, recipe, folder):
    """A run that ends as its first step begins."""

    def kill(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", kill)
        with pytest.raises(Killed):
            train(recipe, output=folder)


@pytest.mark.parametrize("resume", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_killed_in_its_first_epoch_begins_again(tmp_path, data, monkeypatch, caplog, resume):
    folder = tmp_path / "run"
    killed(monkeypatch, recipe(data), folder)
    assert {p.name for p in folder.iterdir()} == {"recipe.yaml", "environment.json"}
    # What an unfinished write leaves, and a file of the user.
    (folder / f".{'0a' * 12}.draft").mkdir()
    (folder / f".{'0a' * 12}.draft" / "best.keras").touch()
    (folder / f".{'1b' * 12}.draft").touch()
    (folder / ".mine.draft").touch()
    # Other settings than those of the killed run: no state depends on them.
    train(recipe(data, epochs=1, optimizer=optimizer(0.003)), output=folder, resume=resume)
    assert (folder / "last.keras").is_file()
    assert [p.name for p in folder.glob(".*")] == [".mine.draft"]
    assert ("starts from the beginning" in caplog.text) == resume
    assert rate_in(folder / "recipe.yaml") == 0.003


@pytest.mark.parametrize(
    ("files", "unfinished"),
    [
        ((), False),
        (("recipe.yaml",), False),  # a recipe that the user wrote
        (("recipe.yaml", "environment.json"), True),
        (("recipe.yaml", "environment.json", "history 1"), True),
        (("recipe.yaml", "environment.json", "history 1", "best.keras"), True),
        (("recipe.yaml", "environment.json", "history 2", "best.keras"), False),
        (("recipe.yaml", "environment.json", "best.keras"), False),
        (("recipe.yaml", "environment.json", "history 1", "last.keras"), False),
        (("recipe.yaml", "environment.json", "history 1", "resume.npz"), False),
    ],
)
def test_which_folders_hold_only_an_unfinished_first_epoch(tmp_path, files, unfinished):
    for name in files:
        word, _, epochs = name.partition(" ")
        text = json.dumps([{}] * int(epochs)) if epochs else ""
        (tmp_path / ("history.json" if epochs else word)).write_text(text)
    assert is_unfinished(tmp_path) == unfinished
    if files and not unfinished:
        with pytest.raises(UserError, match=r"already contains a run|was not written by a run"):
            new_folder(tmp_path, tmp_path)
    else:
        assert new_folder(tmp_path, tmp_path) == tmp_path


@pytest.mark.slow  # tests/training/test_checkpoints.py has full disks of quick runs
def test_a_full_disk_in_the_first_epoch_names_the_command_to_resume(tmp_path, data, monkeypatch):
    folder = tmp_path / "run"

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "resume.npz")

    writer = importlib.import_module("visiongarden.training.checkpoint_writer")
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_checkpoint", full)
        with pytest.raises(UserError, match="could not be written: No space left") as error:
            train(recipe(data, epochs=1), output=folder)
    assert error.value.rule.endswith("nothing was saved yet")
    assert (folder / "best.keras").is_file()
    words = error.value.fix.removeprefix("free some space, then: visiongarden ")
    with pytest.raises(SystemExit) as end:
        main(shlex.split(words))
    assert end.value.code == 0
    assert (folder / "last.keras").is_file()


def test_a_finished_run_without_its_checkpoint_is_kept(tmp_path, data):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("recipe.yaml", "environment.json", "last.keras"):
        (folder / name).write_text("kept")
    before = states(folder)
    with pytest.raises(UserError, match="has no checkpoint to resume") as error:
        train(recipe(data), output=folder, resume=True)
    assert error.value.fix.endswith(f"--output {folder}-2")
    assert states(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_two_runs_never_share_a_folder(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(UserError, match="another process is training in"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


@pytest.fixture(scope="module")
def one_epoch(images, tmp_path_factory):
    """A folder that holds `set` and the run `run` on it, of one epoch."""
    base = tmp_path_factory.mktemp("run")
    shutil.copytree(images, base / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        train(recipe("set", epochs=1), output="run")
    return base


@pytest.fixture
def run(one_epoch, tmp_path, monkeypatch):
    """The working directory, with a copy of both."""
    shutil.copytree(one_epoch, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"optimizer": optimizer(0.1)}, "optimizer.learning_rate.peak", 0.1),
        pytest.param({"seed": 1}, "seed", 1, marks=pytest.mark.slow),
        pytest.param({"batch_size": 2}, "batch_size", 2, marks=pytest.mark.slow),
        pytest.param(
            {"precision": "mixed_float16"}, "precision", "mixed_float16", marks=pytest.mark.slow
        ),
    ],
)
def test_a_refused_resume_changes_no_file(run, changes, name, value):
    before = states(run)
    with pytest.raises(UserError, match="belongs to a different run") as error:
        train(recipe("set", **{"epochs": 1} | changes), output="run", resume=True)
    assert states(run) == before
    assert f"belongs to a different run: training.{name}" in str(error.value)
    assert error.value.received.startswith(f"training.{name}={json.dumps(value)}")
    assert error.value.fix.startswith(f"training.{name}=")
    # The state of a run does not depend on its learning rate.
    assert ("accept_changes" in error.value.fix) == (name == "optimizer.learning_rate.peak")
    assert "decay" not in str(error.value)  # what did not change is not named
    # The recipe of the run resumes it.
    train(resolve(run / "recipe.yaml"), output="run", resume=True)


def another_image(root):
    file = root / "train" / "light" / "0.png"
    cv2.imwrite(str(file), cv2.imread(str(file))[::-1])


def another_class(root):
    (root / "train" / "light" / "0.png").rename(root / "train" / "dark" / "0.png")


def fewer_images(root):
    for number in (0, 2):
        (root / "train" / "light" / f"{number}.png").unlink()


def another_val(root):
    (root / "val" / "dark" / "3.png").rename(root / "val" / "dark" / "4.png")


def the_same_files(root):
    shutil.copytree(root, root.with_name("copy"))
    shutil.rmtree(root)
    root.with_name("copy").rename(root)


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (another_image, "train: the image files differ"),
        pytest.param(another_class, "train: .*the annotations differ", marks=pytest.mark.slow),
        pytest.param(fewer_images, "train: 10 images instead of 12", marks=pytest.mark.slow),
        pytest.param(another_val, "val: the image names differ", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_not_resumed_on_changed_data(run, change, received):
    change(run.parent / "set")
    before = states(run)
    with pytest.raises(DataChangedError) as error:
        train(recipe("set", epochs=1), output="run", resume=True)
    assert re.search(received, error.value.received), error.value.received
    assert states(run) == before
    words = shlex.split(error.value.fix)
    assert words[-1] == "--accept-changes"
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert end.value.code == 0


def test_copied_data_are_the_same_data(run):
    the_same_files(run.parent / "set")
    train(recipe("set", epochs=1), output="run", resume=True)


def test_changes_are_accepted_only_where_a_run_is_resumed(run):
    with pytest.raises(UserError, match="accept_changes is given, but the run is not resumed"):
        train(recipe("set"), output="other", accept_changes=True)


def test_fingerprints_of_boxes_and_masks(tmp_path):
    scenes, masks = make_scenes(tmp_path / "a", 5, (32, 32)), make_mask_scenes(tmp_path / "b", 5)
    boxes = fingerprint({"train": read(scenes)})["train"]
    assert boxes == fingerprint({"train": read(scenes)})["train"]
    rows = json.loads((scenes / "train.json").read_text())
    rows["annotations"][0]["bbox"][2] /= 2
    (scenes / "train.json").write_text(json.dumps(rows))
    changed = fingerprint({"train": read(scenes)})["train"]
    assert {key for key in boxes if boxes[key] != changed[key]} == {"annotations"}
    before = fingerprint({"train": read(masks)})["train"]
    file = next((masks / "masks").rglob("*.png"))
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(file), pixels[::-1])
    after = fingerprint({"train": read(masks)})["train"]
    assert {key for key in before if before[key] != after[key]} == {"annotations"}


def test_fingerprints_of_pixels_in_memory():
    def dataset(x):
        image = np.zeros((8, 8, 3), np.uint8)
        return Dataset(ClassMap(("cat",)), (sample([[x, 0, 5, 5]], [0], image),))

    assert fingerprint({"train": dataset(1)}) == fingerprint({"train": dataset(1)})
    assert fingerprint({"train": dataset(1)}) != fingerprint({"train": dataset(2)})


OVERFLOW = {
    "optimizer": optimizer(1e30, global_clipnorm=None),
    "batch_size": 12,
    "ema_decay": None,
}


def test_an_overflow_in_the_only_step_saves_nothing_and_the_fix_works(run):
    with pytest.raises(NotFiniteError) as error:
        train(recipe("set", **OVERFLOW), output="new")
    assert {p.name for p in (run.parent / "new").iterdir()} == {"recipe.yaml", "environment.json"}
    with pytest.raises(SystemExit) as end:
        main(shlex.split(error.value.fix)[1:])
    assert end.value.code == 0
    assert rate_in("new/recipe.yaml") == 0.002


def rate_in(source):
    """The peak learning rate of a recipe."""
    return resolve(source).training.optimizer.arguments["learning_rate"]["peak"]


@vg.register(package="test_run_folder")
class NeverFinite(vg.losses.Loss):
    """Is NaN for any images."""

    terms = ("class",)
    examples: ClassVar = {"skip": ["loss"]}  # it would be refused before the run

    def __call__(self, raw, targets, context):
        scores = next(iter(raw.values()))["classes"]
        return {"class": Term(keras.ops.mean(scores) * float("nan"), keras.ops.ones(()))}


def test_the_images_of_a_divergence_are_kept(run):
    settings = recipe("set", epochs=2)
    head = settings.model.head.replace(loss=NeverFinite())
    settings = settings.replace(model=settings.model.replace(head=head))
    with pytest.raises(NotFiniteError, match="the loss became nan in epoch 1, step 1") as error:
        train(settings, output="new")
    folder = run.parent / "new" / "diverged-epoch-1-step-1"
    assert str(folder.relative_to(run.parent)) in error.value.received
    with np.load(folder / "batch.npz") as batch:
        assert batch["images"].shape == (4, 32, 32, 3)
        assert batch["targets/labels"].shape == (4, 2)
    kept = read(folder / "data")
    assert len(kept) == 4
    names = [kept[i].info.source.name for i in range(4)]
    assert all(name in error.value.received for name in names)
    again = resolve(folder / "recipe.yaml")
    assert (again.training.batch_size, again.training.epochs) == (4, 1)
    with pytest.raises(NotFiniteError, match="the loss became nan in epoch 1, step 1"):
        train(again, output="again")


def test_short_memory_names_the_command(run, monkeypatch):
    def short(*arguments, **options):
        raise MemoryError("cannot allocate")

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", short)
        with pytest.raises(UserError, match="too small for a batch of 4 images") as error:
            train(recipe("set", epochs=1), output="new")
    assert error.value.fix.endswith("new/recipe.yaml training.batch_size=2 --output new")
    with pytest.raises(SystemExit) as end:
        main(shlex.split(error.value.fix)[1:])
    assert end.value.code == 0
    # A run keeps its batch size: one with a checkpoint is not continued.
    assert after_short_memory(run, 2).endswith("training.batch_size=2 --output " + str(run) + "-2")
    assert after_short_memory(run, None) is None


class Overflow(keras.callbacks.Callback):
    """What an update that overflows leaves in the last step of the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            weight = self.model.trainable_weights[-1]
            weight.assign(weight.value * np.inf)


@pytest.mark.slow
def test_an_overflow_in_a_later_epoch_keeps_what_was_saved(run, monkeypatch):
    fit = module.fit

    def overflowing(*arguments, callbacks=(), **options):
        return fit(*arguments, callbacks=(*callbacks, Overflow()), **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "fit", overflowing)
        with pytest.raises(NotFiniteError, match="became infinite or NaN in epoch 2") as error:
            train(recipe("set", validate_every=1), output="new")
    with np.load("new/resume.npz") as archive:
        assert all(np.isfinite(archive[name]).all() for name in archive.files)
    assert all(np.isfinite(w).all() for w in vg.load("new/best.keras").get_weights())
    with pytest.raises(SystemExit) as end:
        main(shlex.split(error.value.fix)[1:])
    assert end.value.code == 0
    assert len(json.loads((run.parent / "new" / "history.json").read_text())) == 3
    changed = resolve("new/recipe.yaml")
    assert rate_in(changed) == pytest.approx(0.0001)
    # Accepted once, the new rate is that of the run.
    train(changed, output="new", resume=True)


@pytest.mark.slow
def test_a_process_killed_in_its_first_epoch_begins_again(tmp_path, data):
    words = ["train", str(data), "model.image_size=32", "model.backbone.type=DarknetTiny"]
    words += ["model.backbone.width=0.0625", "training.epochs=1", "training.batch_size=4"]
    program = [sys.executable, "-m", "visiongarden", *words, "--output", str(tmp_path / "run")]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run" / "recipe.yaml").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "resume.npz").exists()
    subprocess.run([*program, "--resume"], check=True)
    assert (tmp_path / "run" / "last.keras").exists()


def test_the_precision_is_chosen_once(run, monkeypatch, caplog):
    """The recipe of a run holds the choice, and a resumed run does not choose again."""
    caplog.set_level("INFO")
    chosen = iter([Precision("mixed_bfloat16", "it is faster"), Precision("float32", "it is not")])
    monkeypatch.setattr(module, "choose_precision", lambda *arguments: next(chosen))
    auto = recipe("set", epochs=1, precision="auto")
    first = train(auto, output="half")
    assert first.recipe.training.precision == "mixed_bfloat16"
    assert resolve("half/recipe.yaml").training.precision == "mixed_bfloat16"
    assert vg.load("half/last.keras").dtype_policy.name == "mixed_bfloat16"
    assert "precision: mixed_bfloat16, because it is faster" in caplog.messages
    # Resumed on a machine without bfloat16.
    monkeypatch.setattr(half_precision, "processor_flags", frozenset)
    again = train(auto, output="half", resume=True)
    assert again.history == first.history
    reason = "the processor has neither amx_bf16 nor avx512_bf16"
    slow = f"training.precision=mixed_bfloat16 is slower here than float32: {reason}"
    assert slow in caplog.messages
