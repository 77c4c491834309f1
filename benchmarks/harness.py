"""Run contenders in turns and compare them."""

import compileall
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / "benchmarks" / "peers"
PEER = PEERS / ".venv" / "bin" / "python"
"""Interpreter of the peer's separate environment."""

PROBE = 3
"""Number of steps that determines how many make a turn."""


def run_peer(python, script, options, folder):
    """Run a script of `benchmarks/peers` in a folder, with one JSON argument."""
    subprocess.run(
        [python, PEERS / script, json.dumps(options)],
        check=True, stdout=subprocess.DEVNULL, cwd=folder,
        env=os.environ | {"YOLO_OFFLINE": "1"},
    )  # fmt: skip


@functools.cache
def use_compiled_modules():
    """Compile the package to bytecode, as its installation does."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "src", quiet=1)


def environment_of(backend):
    """Return the variables of a process on a backend, as `visiongarden train` sets them."""
    from visiongarden.backends.large_pages import with_large_pages

    variables = {"KERAS_BACKEND": backend}
    return with_large_pages(variables) or variables


def json_output(arguments, environment=None, python=sys.executable):
    """Run a process; return the last line that it prints, parsed as JSON."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
    done = subprocess.run(
        [python, *arguments],
        env=quiet | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Contender:
    """Process that is measured.

    Attributes:
        name: Name in the table.
        module: Module of the worker, run with `python -m`.
        options: Options of the worker; its first `warmup` steps are not measured.
        environment: Additional environment variables.
        python: Interpreter; a peer has a separate one.
    """

    name: str
    module: str
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    python: str = sys.executable

    def start(self):
        """Start the process; return what it reports when it is ready."""
        self.launch()
        return self.ready()

    def launch(self):
        """Start the process without waiting for it."""
        use_compiled_modules()
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | self.environment
        self.process = subprocess.Popen(
            [self.python, "-m", self.module, json.dumps({"warmup": 20} | self.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if "QUIET" in os.environ else None,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def ready(self):
        """Wait until the process is ready; return what it reports."""
        return self._answer()

    def turn(self, steps):
        """Run steps; return their seconds and the peak memory so far."""
        self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with code {self.process.wait()}")
        return json.loads(line)


def compare(contenders, rounds, seconds_per_turn, images_per_step, log=print, together=False):
    """Run contenders in turns.

    Args:
        contenders: Contenders to run.
        rounds: Number of turns of each.
        seconds_per_turn: Approximate duration of a turn.
        images_per_step: Images per step of every contender.
        log: Function that prints a line after each round.
        together: Whether to prepare all in parallel, which needs enough cores.

    Returns:
        One dict per contender: images/s (median over rounds), spread (half of the relative
        interquartile range), peak memory, seconds to prepare; or `failed`, the error message.
    """
    rows, running = [], []
    for contender in contenders if together else ():
        contender.launch()
    for contender in contenders:
        row = {"name": contender.name}
        rows.append(row)
        try:
            row |= contender.ready() if together else contender.start()
            probe = contender.turn(PROBE)["seconds"] / PROBE
            running.append((contender, row, max(1, round(seconds_per_turn / probe)), []))
        except (RuntimeError, OSError) as error:
            row["failed"] = str(error)
    for number in range(rounds):
        for contender, row, steps, rates in running:
            answer = contender.turn(steps)
            rates.append(steps * images_per_step / answer["seconds"])
            row["peak_mib"] = answer["peak_kib"] // 1024
        log(
            f"round {number + 1}/{rounds}: "
            + ", ".join(f"{c.name} {r[-1]:.1f}" for c, _, _, r in running)
        )
    for contender, row, _, rates in running:
        contender.stop()
        low, median, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
        row |= {"images_s": median, "spread": (high - low) / 2 / median, "rates": rates}
    return rows


def table(title, rows, base):
    """Return a comparison as Markdown; ratios of speeds to the row `base` are medians of rounds."""
    first = next((r for r in rows if r["name"] == base and "rates" in r), None)
    reference = first and first["rates"]
    lines = [
        f"### {title}",
        "",
        "| contender | images/s | spread | ratio | peak MiB | ratio | ready in s | ratio |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['failed']} | | | | | | |")
            continue
        # Ratios within each round, because the speed of a machine varies between rounds.
        pairs = zip(row["rates"], reference or (), strict=False)
        ratio = f"{statistics.median(a / b for a, b in pairs):.2f}" if reference else ""
        memory, start = (
            f"{row[key] / first[key]:.2f}" if first else "" for key in ("peak_mib", "prepare_s")
        )
        lines.append(
            f"| {row['name']} | {row['images_s']:.1f} | ±{row['spread']:.0%} | {ratio} "
            f"| {row['peak_mib']} | {memory} | {row['prepare_s']:.1f} | {start} |"
        )
    return "\n".join(lines)


def machine():
    """Describe the machine."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = names[0] if names else name
    return f"{os.cpu_count()} cores of {name}"


def save_result(name, value):
    """Write a result as JSON to `benchmarks/results/`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"date": str(date.today()), "machine": machine(), "results": value}, indent=1)
    path.write_text(text)
    return path
