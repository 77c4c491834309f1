"""Contender: a detector in training on several devices or processes, or with checkpoints.

Options beside those of `ours`: `devices` of this process (JAX, TensorFlow), `processes` of PyTorch,
of which this one starts the others, and `checkpoints`: whether one is written in each turn.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import ours
from benchmarks.contenders.worker import serve


def start_peers(count):
    """Start the other processes, and return them; each runs as many steps as this one."""
    from visiongarden.backends.launcher import variables_of_this_host

    os.environ |= variables_of_this_host(count)
    peers = []
    for rank in range(count - 1, -1, -1):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        if rank:
            words = [sys.executable, "-m", "benchmarks.contenders.devices", sys.argv[1]]
            peers.append(
                subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            )
    return peers


def prepare(options):
    """Prepare complete training steps."""
    count = options.get("processes", 1)
    peers = start_peers(count) if count > 1 and "RANK" not in os.environ else []
    import visiongarden  # noqa: F401  must be imported before Keras

    # isort: split
    import keras

    from visiongarden.backends.distribution import distributed, training_steps
    from visiongarden.backends.engine import engine
    from visiongarden.backends.feeding import feed
    from visiongarden.backends.random_state import seed_everything

    ours.OPEN.enter_context(distributed(options.get("devices")))
    seed_everything(0)
    with engine().scope():
        model = ours.detector(options)
        ours.compiled(model, model.parts.head.loss)
    ours.OPEN.enter_context(training_steps(model))
    images, boxes, classes = ours.batch(options)
    rows = slice(engine().rank, None, engine().processes)
    example = images[rows], {"boxes": boxes[rows], "classes": classes[rows]}
    is_ready = False

    def run(steps):
        nonlocal is_ready
        for peer in peers if is_ready else ():  # the first steps are made by all
            peer.stdin.write(json.dumps({"steps": steps}) + "\n")
            peer.stdin.flush()
        is_ready = True
        callbacks = [checkpoint_callback(steps // 2)] if options.get("checkpoints") else []
        batches = (example for _ in range(steps))
        model.fit(
            feed(batches), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks
        )

    return run, {"parameters": model.count_params(), "backend": keras.backend.backend()}


def checkpoint_callback(step):
    """Return a callback that writes a checkpoint after a step, as a run does."""
    import keras

    from visiongarden.backends.training_state import sync_state
    from visiongarden.training import Progress
    from visiongarden.training.checkpoint_writer import CheckpointWriter
    from visiongarden.training.run_place import RunPlace
    from visiongarden.training.state import take_state

    class Checkpoint(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == step:
                sync_state(self.model)
                writer.write(take_state(Progress(step=1), self.model, self.model.optimizer))

        def on_train_end(self, logs=None):
            writer.wait()

    writer = CheckpointWriter(
        RunPlace(Path(ours.OPEN.enter_context(tempfile.TemporaryDirectory())))
    )
    return Checkpoint()


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    serve(prepare)
