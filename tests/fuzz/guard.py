"""Guard that detects what a reader of an untrusted file must not do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from visiongarden.errors import UserError

MAX_SECONDS, MAX_BYTES = 10, 500 * 2**20
"""Of the processor, so that a busy machine counts for nothing; and above the memory before."""

STOP_AFTER = 60
"""Seconds on the clock."""

_RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
         "subprocess.Popen", "pickle.find_class", "webbrowser.open", "socket.connect")  # fmt: skip
_WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
           "os.truncate", "shutil.rmtree", "shutil.copyfile", "shutil.move")  # fmt: skip
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watched: Guard | None = None
_installed = False


class Breach(Exception):  # noqa: N818
    """A reader did what no file may make it do."""


class TooLong(BaseException):
    """A reader needs more than `STOP_AFTER`; no `except Exception` may take it for damage."""


class Guard:
    """Runs readers; `run` returns what is wrong with one, or None.

    Args:
        scratch: the folder below which files may be written.
    """

    def __init__(self, scratch: Path) -> None:
        global _installed
        self.scratch, self.breaches = str(scratch.resolve()), []
        if not _installed:
            sys.addaudithook(_hook)  # stays for the process; does nothing outside of `run`
            _installed = True

    def run(self, read) -> str | None:
        """Call a reader: it returns, or raises one of our errors."""
        global _watched
        self.breaches = []
        before, begun = _memory("VmRSS"), time.process_time()
        _reset_peak()
        previous = signal.signal(signal.SIGALRM, _alarm)
        signal.alarm(STOP_AFTER)
        _watched = self
        try:
            read()
        except UserError as error:
            text = str(error)
            if any(ord(c) < 32 and c not in "\n\t" for c in text):
                self.breaches.append(f"control characters in a message: {text[:200]!r}")
        except TooLong:
            self.breaches.append("does not end")
        except RecursionError as error:
            self.breaches.append(_where(error))
        except Exception as error:
            self.breaches.append(_where(error))
        finally:
            _watched = None
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
        seconds, taken = time.process_time() - begun, _memory("VmHWM") - before
        if seconds > MAX_SECONDS:
            self.breaches.append(f"took {seconds:.0f} s")
        if taken > MAX_BYTES:
            self.breaches.append(f"took {taken // 2**20} MB")
        return "; ".join(dict.fromkeys(self.breaches)) or None

    def see(self, event: str, arguments: tuple) -> None:
        if event in _RUNS or event.startswith(("os.exec", "os.spawn")):
            self.breaches.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, mode, flags = arguments
            writes = (
                (flags or 0) & _FLAGS if isinstance(flags, int) else set(mode or "r") & set("wax+")
            )
            if writes:
                self._inside(event, path)
        elif event in _WRITES:
            # Relative to an open folder, whose descriptor is the last argument.
            held = [n for n in arguments if isinstance(n, int) and n >= 0][-1:]
            for path in arguments[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    own = os.fsdecode(path)
                    inner = held and event != "os.mkdir" and event != "os.chmod"
                    self._inside(event, _folder(held[0]) / own if inner else own)
        elif event == "exec":
            file = getattr(arguments[0], "co_filename", "?")
            # Imports of modules that are installed run their code; dataclasses make methods.
            if not Path(file).is_file() and not file.startswith("<frozen") and file != "<string>":
                self.breaches.append(f"exec of {file}")

    def _inside(self, event: str, path) -> None:
        if isinstance(path, int):
            return
        where = os.path.realpath(os.fsdecode(path))
        if not where.startswith(self.scratch + os.sep) and not where.startswith("/dev/"):
            self.breaches.append(f"{event} outside of the scratch folder: {where}")


def _folder(descriptor: int) -> Path:
    with contextlib.suppress(OSError):
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    return Path()


def _hook(event: str, arguments: tuple) -> None:
    if _watched is not None:
        guard = _watched
        guard.see(event, arguments)


def _alarm(*_: object) -> None:
    raise TooLong


def _where(error: BaseException) -> str:
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/visiongarden/" in file:
            place = f"{file.rpartition('/visiongarden/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {error!s:.150}"


def _memory(name: str) -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0  # no such measure on this system
    return next(int(s.split()[1]) * 1024 for s in status.splitlines() if s.startswith(name))


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
