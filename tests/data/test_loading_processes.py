"""Processes that load images end with the run, and report errors."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import os
import time
from visiongarden.data.grain_batches import grain_batches
from visiongarden.errors import DataError


class Numbers:
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        if index == 1:
            raise DataError("images/1.png: the image is truncated", fix="copy the file again")
        return os.getpid()


if __name__ == "__main__":
    one, two = (grain_batches(Numbers(), list, 1, workers=1) for _ in range(2))
    print(*next(one), *next(two), flush=True)
    try:
        next(one)
    except DataError as error:
        print(repr(str(error)), flush=True)
    time.sleep(600)
"""


def running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # nobody may wait for it, but it holds nothing any more


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    "end", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_loading_processes_end_with_a_killed_run(tmp_path, end):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as run:
        pids, error = run.stdout.readline().split(), run.stdout.readline()
        assert "images/1.png: the image is truncated" in error
        assert "fix: copy the file again" in error
        assert running(pids[1])
        run.send_signal(end)
        run.wait()
    deadline = time.monotonic() + 30
    while any(map(running, pids)):
        assert time.monotonic() < deadline, "the loading processes are left behind"
        time.sleep(0.05)
