"""JAX keeps compiled programs for the next process; a killed one leaves no damaged entry."""

import json
import os
import signal
import subprocess
import sys

import keras
import pytest

from visiongarden.backends import compilation_cache

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX has such a cache"),
]

PROGRAM = """
import json, os, signal, sys
import jax, jax.monitoring
jax.jit(lambda x: x + 1)(1)  # JAX has compiled before, as in a process that uses it elsewhere
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
from visiongarden.backends import compilation_cache, xla
compilation_cache._MIN_SECONDS = 0
function = xla.compiled_by_jax(lambda x: (x @ x).sum() * 3.0)
value = float(function(jax.numpy.eye(3)))
print(json.dumps([value, jax.config.jax_compilation_cache_dir,
                  sum("cache_hits" in event for event in hits)]), flush=True)
if sys.argv[1:] == ["killed"]:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(folder, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=os.environ | {"VISIONGARDEN_CACHE": str(folder)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.returncode == (-signal.SIGKILL if arguments else 0)
    value, cache, hits = json.loads(done.stdout)
    assert value == 9.0
    return cache, hits


def entries(folder):
    return sorted(folder.glob("jax/*/*-cache"))


def processes(folder):
    return list(folder.glob("jax/*/process-*"))


@pytest.mark.slow
def test_the_second_process_finds_what_the_first_has_compiled(tmp_path):
    _, hits = run(tmp_path, "killed")
    assert (hits, entries(tmp_path)) == (0, [])
    (left,) = processes(tmp_path)
    _, hits = run(tmp_path)
    assert hits == 0
    assert entries(tmp_path)
    assert processes(tmp_path) == [left]
    _, hits = run(tmp_path)
    assert hits >= 1


@pytest.mark.slow
def test_a_folder_of_the_user_is_used_as_it_is(tmp_path):
    cache, _ = run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "users"))
    assert cache == str(tmp_path / "users")
    assert not (tmp_path / "ours").exists()


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Use a temporary folder for the cache of this process, and restore its settings."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache as cache_of_jax

    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path))
    monkeypatch.setattr(compilation_cache.atexit, "register", lambda *_: None)
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_enable_xla_caches",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], None)
    compilation_cache.use_compilation_cache.cache_clear()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    cache_of_jax.reset_cache()
    compilation_cache.use_compilation_cache.cache_clear()


def test_the_folder_of_a_process_starts_with_all_entries(fresh):
    import jax

    compilation_cache.use_compilation_cache()
    (own,) = processes(fresh)
    assert jax.config.jax_compilation_cache_dir == str(own)
    (own / "one-cache").write_bytes(b"1")
    (own / "unfinished").write_bytes(b"1")
    compilation_cache._publish(own, own.parent, os.getpid())
    assert [entry.name for entry in entries(fresh)] == ["one-cache"]
    assert not own.exists()
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.use_compilation_cache.cache_clear()
    compilation_cache.use_compilation_cache()
    (own,) = processes(fresh)
    assert [entry.name for entry in own.iterdir()] == ["one-cache"]


def test_a_fork_publishes_nothing(fresh):
    compilation_cache.use_compilation_cache()
    (own,) = processes(fresh)
    compilation_cache._publish(own, own.parent, os.getpid() + 1)
    assert own.exists()


def test_a_folder_that_others_can_write_to_is_not_used(fresh):
    import jax

    compilation_cache.use_compilation_cache()
    (own,) = processes(fresh)
    own.parent.chmod(0o777)
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.use_compilation_cache.cache_clear()
    compilation_cache.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


def test_old_entries_and_folders_of_killed_processes_are_removed(fresh, monkeypatch):
    compilation_cache.use_compilation_cache()
    (own,) = processes(fresh)
    for number in range(3):
        entry = own.parent / f"{number}-cache"
        entry.write_bytes(bytes(10))
        os.utime(entry, (number, number))
    monkeypatch.setattr(compilation_cache, "_MAX_BYTES", 25)
    compilation_cache._limit(own.parent)
    assert [entry.name for entry in entries(fresh)] == ["1-cache", "2-cache"]
    os.utime(own, (0, 0))
    compilation_cache._remove_stale(own.parent)
    assert not own.exists()


@pytest.mark.parametrize("setting", ["off", "OFF"])
def test_the_cache_can_be_switched_off(fresh, monkeypatch, setting):
    import jax

    monkeypatch.setenv("VISIONGARDEN_CACHE", setting)
    compilation_cache.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
