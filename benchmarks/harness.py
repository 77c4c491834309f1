"""Runs contenders turn by turn and compares them."""

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
"""Interpreter of the peer's own environment."""

PROBE = 3
"""Steps that tell how many make a turn."""


def run_peer(python, script, asked, folder):
    """Runs a script of `benchmarks/peers` in a folder, with one JSON argument."""
    subprocess.run(
        [python, PEERS / script, json.dumps(asked)],
        check=True, stdout=subprocess.DEVNULL, cwd=folder,
        env=os.environ | {"YOLO_OFFLINE": "1"},
    )  # fmt: skip


def said_by(arguments, environment=None, python=sys.executable):
    """The last line that a process of its own prints, read as JSON."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
    said = subprocess.run(
        [python, *arguments],
        env=quiet | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return json.loads(said.stdout.splitlines()[-1])


@dataclass
class Contender:
    """One process.

    Attributes:
        name: in the table.
        module: of the worker, run with `python -m`.
        options: for the worker; `warmup` steps are not measured.
        environment: what its environment has besides.
        python: interpreter; a peer has its own.
    """

    name: str
    module: str
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    python: str = sys.executable

    def start(self):
        """Starts the process; returns what it says once it is ready."""
        self.launch()
        return self.ready()

    def launch(self):
        """Starts the process, and does not wait for it."""
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
        """What a launched process says once it is ready."""
        return self._answer()

    def turn(self, steps):
        """Seconds of `steps` steps, and the peak of memory so far."""
        self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with code {self.process.wait()}")
        return json.loads(line)


def compare(contenders, rounds, seconds_a_turn, images_a_step, log=print, together=False):
    """Alternates between contenders.

    Args:
        contenders: to run.
        rounds: turns of each.
        seconds_a_turn: about.
        images_a_step: of every contender.
        log: takes a line a round.
        together: prepare all at once, where there are cores enough.

    Returns:
        One dict a contender: images/s (median over rounds), spread (half of the range of the middle
        half, relative), peak memory, seconds to prepare. A contender that fails says so instead.
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
            running.append((contender, row, max(1, round(seconds_a_turn / probe)), []))
        except (RuntimeError, OSError) as error:
            row["failed"] = str(error)
    for number in range(rounds):
        for contender, row, steps, rates in running:
            answer = contender.turn(steps)
            rates.append(steps * images_a_step / answer["seconds"])
            row["peak_mib"] = answer["peak_kib"] // 1024
        log(
            f"round {number + 1}/{rounds}: "
            + ", ".join(f"{c.name} {r[-1]:.1f}" for c, _, _, r in running)
        )
    for contender, row, _, rates in running:
        contender.stop()
        low, middle, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
        row |= {"images_s": middle, "spread": (high - low) / 2 / middle, "rates": rates}
    return rows


def table(title, rows, base):
    """Markdown of a comparison; ratios are to the row named `base`, medians over the rounds."""
    reference = next((r["rates"] for r in rows if r["name"] == base and "rates" in r), None)
    lines = [
        f"### {title}",
        "",
        "| contender | images/s | spread | ratio | peak MiB | ready in s |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['failed']} | | | | |")
            continue
        # Round by round, since a machine's speed changes between them.
        pairs = zip(row["rates"], reference or (), strict=False)
        ratio = f"{statistics.median(a / b for a, b in pairs):.2f}" if reference else ""
        lines.append(
            f"| {row['name']} | {row['images_s']:.1f} | ±{row['spread']:.0%} | {ratio} "
            f"| {row['peak_mib']} | {row['prepare_s']:.1f} |"
        )
    return "\n".join(lines)


def machine():
    """What it ran on, in words."""
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


def keep(name, value):
    """Writes a result as JSON into `benchmarks/results/`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"date": str(date.today()), "machine": machine(), "results": value}, indent=1)
    path.write_text(text)
    return path
