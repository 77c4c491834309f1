"""`prove_resume`: a killed run is the same run, and a state that nobody restores is found."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.recipes.hidden_state import Patches

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.config import load_yaml, save_yaml
from visiongarden.errors import UserError
from visiongarden.recipes import resolve
from visiongarden.recipes.state_comparison import Kill, ResumeProof, compare_states
from visiongarden.training import Progress
from visiongarden.training.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """16 images of two classes to train on, 4 for validation."""
    root = tmp_path_factory.mktemp("data") / "set"
    for number in range(20):
        split = "val" if number % 5 == 4 else "train"
        folder = root / split / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return root


def recipe(images, **training):
    known = resolve(images, overrides=["model.image_size=32"])
    head = vg.heads.Classification(num_classes=2)
    parts = {"backbone": Patches(), "decoder": vg.decoders.PassOn(levels=("p5",)), "head": head}
    fields = {"epochs": 20, "batch_size": 4, "tensorboard": False} | training
    return known.replace(
        model=known.model.replace(**parts), training=known.training.replace(**fields)
    )


@pytest.mark.slow
@pytest.mark.backends
def test_a_killed_run_is_the_same_run(images):
    proof = vg.prove_resume(recipe(images), steps=26, kills=2, seed=1)
    assert proof.ok, str(proof)
    assert proof.steps == 26
    assert [each.what for each in proof.compared] == [
        "weights", "moving average", "optimizer", "random states", "means of the epoch", "history",
        "progress",
    ]  # fmt: skip
    assert all(each.values for each in proof.compared)
    assert 1 <= len(proof.kills) <= 2


@pytest.mark.slow
@pytest.mark.backends
def test_a_killed_run_of_two_devices_is_the_same_run(images):
    """On PyTorch these are two processes, which end and begin together."""
    proof = vg.prove_resume(recipe(images), steps=14, kills=2, seed=1, devices=2)
    assert proof.ok, str(proof)
    assert proof.steps == 14
    assert proof.kills


@pytest.mark.slow
def test_a_number_that_a_callback_keeps_to_itself_is_found(images, tmp_path, capsys):
    callback = {"type": "tests.recipes.hidden_state:Drift"}
    save_yaml(tmp_path / "r.yaml", recipe(images).to_dict() | {
        "training": recipe(images).training.to_dict() | {"callbacks": [callback]}
    })  # fmt: skip
    words = ["prove-resume", str(tmp_path / "r.yaml"), "--steps", "20", "--kills", "1", "--json"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--import", "tests.recipes.hidden_state"])
    assert end.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    different = {each["what"] for each in found["compared"] if each["different"]}
    assert {"weights", "optimizer"} <= different
    assert "random states" not in different


def state(weight=1.0, seed=3, loss=0.5, waited=0):
    arrays = {
        "model/a": np.array([weight, 2.0, np.nan], np.float32),
        "average/1": np.ones(2, np.float32),
        "optimizer/0": np.array(7),
        "state/0": np.array([seed, 0], np.uint32),
    }
    return Progress(epoch=1, waited=waited, history=[{"epoch": 1, "loss": loss}]), arrays


@pytest.mark.parametrize(
    ("changes", "what", "first"),
    [
        ({}, None, ""),
        ({"weight": np.nextafter(np.float32(1), np.float32(2))}, "weights", "model/a, by up to"),
        ({"seed": 4}, "random states", "state/0, by up to 1"),
        ({"loss": np.nextafter(0.5, 1)}, "history", "1.loss: 0.5 and 0.50000000000000"),
        ({"waited": 1}, "progress", "waited: 0 and 1"),
    ],
)
def test_the_last_bit_is_compared(changes, what, first):
    compared = compare_states(state(), state(**changes))
    different = [each for each in compared if each.different]
    assert [each.what for each in different] == ([] if what is None else [what])
    assert all(each.first.startswith(first) for each in different)
    proof = ResumeProof("set", 10, 0, (Kill(3, 0, 0.01),), compared)
    assert proof.ok == (what is None)
    assert json.loads(json.dumps(proof.to_dict()))["ok"] == proof.ok
    assert ("≠" in str(proof)) == (what is not None)
    assert "killed after step 3 + 10 ms (new)" in str(proof)
    assert not ResumeProof("set", 10, 0, (), compared).ok


def test_a_missing_array_differs():
    progress, arrays = state()
    fewer = {name: array for name, array in arrays.items() if name != "state/0"}
    compared = {each.what: each for each in compare_states((progress, arrays), (progress, fewer))}
    assert compared["random states"].different == 2


@pytest.mark.parametrize(("name", "number"), [("steps", 1), ("kills", 0), ("steps", 2.5)])
def test_numbers_that_are_refused(images, name, number):
    with pytest.raises(UserError, match=f"{name} of the proof is not valid"):
        vg.prove_resume(recipe(images), **{name: number})


def test_a_class_of_a_script_is_refused(images, monkeypatch):
    module = sys.modules["visiongarden.registry"]
    key = "hidden_state>Patches"
    entry = module.registered()[key]
    monkeypatch.setitem(module._known, key, type(entry)(key, entry.cls, "__main__"))
    with pytest.raises(UserError, match="Patches is defined in a script or a notebook"):
        vg.prove_resume(recipe(images))


def test_a_run_that_is_killed_after_its_last_step_trains_no_further_one(images, monkeypatch):
    """Its state is saved then, and a process that continues would add a step."""
    started = []

    class Ran:
        """A process that trains until a step, saves it, and is killed."""

        def __init__(self, words, env, stdout, stderr):
            started.append(self)
            fields, folder = load_yaml(words[4]), Path(words[words.index("--output") + 1])
            callback = fields["training"]["callbacks"][-1]
            number = 5 if len(started) == 2 else callback["steps"]
            with Path(callback["file"]).open("a") as stream:
                stream.writelines(f"{step} {step / 1000}\n" for step in range(1, number + 1))
            folder.mkdir(exist_ok=True)
            shutil.copyfile(words[4], folder / "recipe.yaml")
            progress = Progress(callbacks={"ProofSteps 1": {"steps": number}})
            header = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
            write_checkpoint(folder, {"header": header, "model/a": np.ones(2, np.float32)})
            self.returncode = 143 if len(started) == 1 else None

        def poll(self):
            return self.returncode

        def wait(self):
            return self.returncode

        def kill(self):
            if self.returncode is None:
                self.returncode = -9

    monkeypatch.setattr(subprocess, "Popen", Ran)
    monkeypatch.setattr(random.Random, "randint", lambda self, low, high: low + 1)
    proof = vg.prove_resume(recipe(images), steps=9, kills=3)
    assert [each.returncode for each in started] == [143, -9, -9]
    # All steps were saved before the second kill, so there was no run left for the third one.
    assert [(kill.after, kill.resumed_from) for kill in proof.kills] == [(5, 0)]
    assert proof.steps == 9
    assert proof.ok, str(proof)


def test_a_run_that_fails_is_reported(images, monkeypatch):
    class Fails:
        returncode = 2

        def wait(self):
            return 2

        def kill(self):
            pass

    def started(words, env, stdout, stderr):
        stderr.write(b"error: no such thing")
        return Fails()

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(UserError, match="a run of the proof failed") as error:
        vg.prove_resume(recipe(images))
    assert error.value.received == "error: no such thing"
    assert error.value.fix.startswith("visiongarden train ")
