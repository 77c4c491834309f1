"""When `train` restarts with large memory pages, and with which environment."""

import os
import subprocess
import sys

import pytest

from visiongarden.backends import large_pages
from visiongarden.backends.large_pages import SETTING, VARIABLE, with_large_pages

JAX = {"KERAS_BACKEND": "jax", "HOME": "/home"}


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Linux that offers large pages to programs that ask for them."""

    def write(pages="always [madvise] never", version="glibc 2.36"):
        (tmp_path / "enabled").write_text(pages)
        monkeypatch.setattr(large_pages, "PAGES", tmp_path / "enabled")
        monkeypatch.setattr(os, "confstr", lambda name: version, raising=False)

    write()
    return write


def test_only_the_setting_is_added(system):
    assert with_large_pages(JAX) == JAX | {VARIABLE: SETTING}
    given = {VARIABLE: "glibc.rtld.nns=8"}
    assert with_large_pages(JAX | given) == JAX | {VARIABLE: f"glibc.rtld.nns=8:{SETTING}"}
    assert with_large_pages(with_large_pages(JAX)) is None  # once
    torch = JAX | {"KERAS_BACKEND": "torch"}
    assert with_large_pages(torch) == torch | {VARIABLE: SETTING}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"KERAS_BACKEND": "tensorflow"},
        JAX | {VARIABLE: "glibc.malloc.arena_max=1"},
    ],
)
def test_other_backends_and_settings_of_the_user_are_left(system, environment):
    assert with_large_pages(environment) is None


@pytest.mark.parametrize(
    "facts",
    [
        {"pages": "[always] madvise never"},
        {"pages": "always madvise [never]"},
        {"version": "glibc 2.34"},
        {"version": None},
    ],
)
def test_systems_on_which_it_has_no_effect(system, facts):
    system(**facts)
    assert with_large_pages(JAX) is None


def test_a_system_without_the_file(system, tmp_path):
    (tmp_path / "enabled").unlink()
    assert with_large_pages(JAX) is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training_starts_again(tmp_path, backend):
    others = {k: v for k, v in os.environ.items() if k != VARIABLE}
    environment = others | {"KERAS_BACKEND": backend}
    if with_large_pages(environment) is None:
        pytest.skip("this system does not offer large pages on request")
    (tmp_path / "probe.py").write_text(
        f"import os\nopen('found', 'a').write(os.environ.get({VARIABLE!r}, 'none') + ' ')\n"
    )
    for command in (["train", "missing"], ["evaluate", "missing.keras", "missing"]):
        done = subprocess.run(
            [sys.executable, "-m", "visiongarden", *command, "--import", "probe"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2
    assert (tmp_path / "found").read_text().split() == [SETTING, "none"]
