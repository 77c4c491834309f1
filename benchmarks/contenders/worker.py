"""The contender's side of the protocol: lines of JSON on standard input and output."""

import json
import os
import resource
import sys
import time
from pathlib import Path


def serve(prepare, clock=time.perf_counter):
    """Prepares once, then runs steps on demand.

    Args:
        prepare: takes the options, returns (run, facts): a function of a number of steps, which
            returns when their work is done, and a dict to report.
        clock: gives seconds; `time.process_time` counts those of the processor alone.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    options = json.loads(sys.argv[1])
    begun = time.perf_counter()
    run, facts = prepare(options)
    run(options["warmup"])
    say(answers, {"ready": True, "prepare_s": time.perf_counter() - begun} | facts)
    for line in sys.stdin:
        count = json.loads(line)["steps"]
        begun = clock()
        run(count)
        say(answers, {"seconds": clock() - begun, "peak_kib": peak_kib()})


def each(step):
    """Runs a step so many times."""

    def run(count):
        for _ in range(count):
            step()

    return run


def peak_kib():
    """Most memory so far; `ru_maxrss` would count the parent's from before the process's start."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak():
    """Has Linux count the peak anew from here."""
    counted = Path("/proc/self/clear_refs")
    if counted.is_file():
        counted.write_text("5")


def say(stream, value):
    """Writes one line."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()
