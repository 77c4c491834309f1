"""Build custom vision models from tested parts, verify them, train them and deploy them.

`import visiongarden as vg` imports no backend. Subpackages and the public names below are imported
on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visiongarden.backends.garbage import gc_paused
from visiongarden.backends.keras_stubs import prepare
from visiongarden.backends.onednn import use_onednn

if TYPE_CHECKING:
    from visiongarden import (
        assigners,
        backbones,
        blocks,
        cards,
        config,
        darknet,
        data,
        decoders,
        doctor,
        drawing,
        evaluation,
        exporters,
        heads,
        inspect,
        interchange,
        layers,
        linting,
        losses,
        metrics,
        models,
        ops,
        parts,
        postprocess,
        recipes,
        repetition,
        reporting,
        samples,
        scaffold,
        scenes,
        tasks,
        testing,
        training,
        transforms,
        weights,
    )
    from visiongarden.cards import verify
    from visiongarden.darknet import DarknetModel, export_darknet, import_darknet
    from visiongarden.data import Preprocessing, read
    from visiongarden.errors import ContractError, UserError
    from visiongarden.evaluation import evaluate, predict
    from visiongarden.exporters import export
    from visiongarden.linting import lint
    from visiongarden.models import Classifier, Detector, MultiHead, Segmenter, load
    from visiongarden.parts import Backbone, Decoder, Head, connect
    from visiongarden.recipes import diff, prove_resume, show, train
    from visiongarden.registry import register
    from visiongarden.repetition import repeats
    from visiongarden.testing import check
    from visiongarden.types import ClassMap, FeatureMaps, RawPredictions, Tensor
    from visiongarden.weights import transfer

__all__ = [
    "Backbone",
    "ClassMap",
    "Classifier",
    "ContractError",
    "DarknetModel",
    "Decoder",
    "Detector",
    "FeatureMaps",
    "Head",
    "MultiHead",
    "Preprocessing",
    "RawPredictions",
    "Segmenter",
    "Tensor",
    "UserError",
    "assigners",
    "backbones",
    "blocks",
    "cards",
    "check",
    "config",
    "connect",
    "darknet",
    "data",
    "decoders",
    "diff",
    "doctor",
    "drawing",
    "evaluate",
    "evaluation",
    "export",
    "export_darknet",
    "exporters",
    "heads",
    "import_darknet",
    "inspect",
    "interchange",
    "layers",
    "lint",
    "linting",
    "load",
    "losses",
    "metrics",
    "models",
    "ops",
    "parts",
    "postprocess",
    "predict",
    "prove_resume",
    "read",
    "recipes",
    "register",
    "repeats",
    "repetition",
    "reporting",
    "samples",
    "scaffold",
    "scenes",
    "show",
    "tasks",
    "testing",
    "train",
    "training",
    "transfer",
    "transforms",
    "verify",
    "weights",
]

_HOME = {
    "Backbone": "parts",
    "ClassMap": "types",
    "Classifier": "models",
    "ContractError": "errors",
    "DarknetModel": "darknet",
    "Decoder": "parts",
    "Detector": "models",
    "MultiHead": "models",
    "FeatureMaps": "types",
    "Head": "parts",
    "Preprocessing": "data",
    "RawPredictions": "types",
    "Segmenter": "models",
    "Tensor": "types",
    "UserError": "errors",
    "check": "testing",
    "connect": "parts",
    "diff": "recipes",
    "evaluate": "evaluation",
    "export": "exporters",
    "export_darknet": "darknet",
    "import_darknet": "darknet",
    "lint": "linting",
    "load": "models",
    "predict": "evaluation",
    "prove_resume": "recipes",
    "read": "data",
    "register": "registry",
    "repeats": "repetition",
    "show": "recipes",
    "train": "recipes",
    "transfer": "weights",
    "verify": "cards",
}


# Keras finds visiongarden's classes in files from now on, in whichever order the two are imported.
prepare()
use_onednn()


def __getattr__(name: str) -> Any:
    # PEP 562: TensorFlow alone takes seconds to import, which `visiongarden --help` and the worker
    # processes of the loader must not pay.
    if name not in __all__:
        raise AttributeError(f"module 'visiongarden' has no attribute {name!r}")
    # Pausing the garbage collector saves a fifth to a quarter of a backend's import time.
    with gc_paused():
        home = importlib.import_module(f"visiongarden.{_HOME.get(name, name)}")
    value = getattr(home, name) if name in _HOME else home
    # As a global, the name is found without this function from now on.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
