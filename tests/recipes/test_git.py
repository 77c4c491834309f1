"""The state of a repository is read without running a program that it names."""

import subprocess

import pytest

from visiongarden.recipes.git import repository_state


def git(folder, *command):
    result = subprocess.run(
        ["git", *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return result.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    for name, value in (("user.email", "a@b"), ("user.name", "x"), ("commit.gpgsign", "false")):
        git(root, "config", name, value)
    (root / "a").write_text("hi\n")
    git(root, "add", "a")
    git(root, "commit", "-qm", "one")
    return root


def test_commit_and_changes(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert repository_state(repository) == {"commit": commit, "dirty": False}
    (repository / "sub").mkdir()
    assert repository_state(repository / "sub") == {"commit": commit, "dirty": False}
    (repository / "a").write_text("changed\n")
    assert repository_state(repository) == {"commit": commit, "dirty": True}
    git(repository, "add", "a")
    assert repository_state(repository) == {"commit": commit, "dirty": True}
    git(repository, "commit", "-qm", "two")
    second = git(repository, "rev-parse", "HEAD")
    assert repository_state(repository) == {"commit": second, "dirty": False}
    (repository / "new").write_text("new\n")
    assert repository_state(repository) == {"commit": second, "dirty": True}


def test_packed_references_linked_trees_and_detached_heads(repository, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    git(repository, "pack-refs", "--all")
    for folder in (repository, tmp_path / "tree"):
        assert repository_state(folder) == {"commit": commit, "dirty": False}
    git(repository, "checkout", "-q", "--detach")
    assert repository_state(repository) == {"commit": commit, "dirty": False}


def test_outside_a_repository_there_is_no_state(tmp_path, repository):
    assert repository_state(tmp_path) is None
    (repository / ".git" / "HEAD").write_text("ref: refs/../../secret\n")
    assert repository_state(repository) is None


def test_no_program_of_the_repository_is_run(repository, tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    run = f"touch {canary}"
    for name in ("core.fsmonitor", "filter.x.clean", "filter.x.process", "core.sshCommand"):
        git(repository, "config", name, f"{run}; false")
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    (tmp_path / "hooks").mkdir()
    for name in ("post-index-change", "fsmonitor-watchman"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\n{run}\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", run)
    (repository / ".gitattributes").write_text("* filter=x\n")
    (repository / "a").write_text("hj\n")  # as long as before, so that its content is read
    state = repository_state(repository)
    assert state["dirty"] is True
    assert not canary.exists()
