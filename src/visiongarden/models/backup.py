"""Epochs that Keras's `BackupAndRestore` continues with after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

METADATA = "training_metadata.json"
"""File beside the weights of a backup."""


def restored_epoch(callbacks: Any, first: int = 0) -> int:
    """Return the epoch with which a run begins, from 0.

    `BackupAndRestore` continues with a later epoch than `fit` was asked for. The batches must be
    those of that epoch, or the run would see the images of the first epochs once more.

    Args:
        callbacks: Callbacks of `fit`, which it may also take as one callback or None.
        first: Epoch with which the run begins without a backup.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    listed = callbacks if isinstance(callbacks, Iterable) else [callbacks]
    found = [_epoch(each) for each in listed if isinstance(each, keras.callbacks.BackupAndRestore)]
    # Keras takes 0 for no backup, too.
    return next((epoch for epoch in reversed(found) if epoch), first)


def _epoch(callback: keras.callbacks.BackupAndRestore) -> int:
    file = Path(callback.backup_dir) / METADATA
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0  # none, or a damaged one, which Keras reports when it reads it
    epoch = metadata.get("epoch") if isinstance(metadata, dict) else None
    return epoch if isinstance(epoch, int) and epoch > 0 else 0
