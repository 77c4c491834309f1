"""Protocol of a contender: lines of JSON on standard input and output."""

import json
import os
import resource
import sys
import time
from pathlib import Path


def serve(prepare, clock=time.perf_counter):
    """Prepare once, then run steps on request.

    Args:
        prepare: Function of the options that returns (run, facts): a function of a number of
            steps, which returns when they are complete, and a dict to report.
        clock: Function that returns seconds; `time.process_time` for processor time.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of libraries is not part of the protocol
    options = json.loads(sys.argv[1])
    if options.get("processor_time"):
        clock = time.process_time
    start = time.perf_counter()
    run, facts = prepare(options)
    run(options["warmup"])
    send(answers, {"ready": True, "prepare_s": time.perf_counter() - start} | facts)
    for line in sys.stdin:
        count = json.loads(line)["steps"]
        start = clock()
        run(count)
        send(answers, {"seconds": clock() - start, "peak_kib": peak_kib()})


def each(step):
    """Return a function that runs a step a number of times."""

    def run(count):
        for _ in range(count):
            step()

    return run


def peak_kib():
    """Return the peak memory; `ru_maxrss` would include the parent's from before the start."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak():
    """Reset the peak memory that Linux counts."""
    file = Path("/proc/self/clear_refs")
    if file.is_file():
        file.write_text("5")


def send(stream, value):
    """Write one line."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()
