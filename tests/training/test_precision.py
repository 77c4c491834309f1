"""The dtype policy of a run: chosen by hardware and measurement, and kept by its recipe."""

import time

import numpy as np
import pytest
from tests.training.tiny import batches, classifier

from visiongarden.backends import half_precision
from visiongarden.backends.half_precision import Bfloat16Support, bfloat16_support, why_slower
from visiongarden.backends.processor import processor_flags
from visiongarden.training import choose_precision
from visiongarden.training import precision as module

FLAGS = "processor\t: 0\nmodel name\t: X\nflags\t\t: fpu sse2 avx512f {}\nbugs\t\t: none\n"


class Timed:
    """A model whose steps take a given time, the first one more for its compilation."""

    def __init__(self, seconds):
        self.seconds, self.steps = seconds, 0

    def compile(self, optimizer):
        self.optimizer = optimizer

    def train_on_batch(self, images, targets):
        time.sleep(self.seconds if self.steps else 0.1)
        self.steps += 1


@pytest.mark.parametrize(
    ("half", "policy"), [(0.01, "mixed_bfloat16"), (0.04, "float32"), (0.08, "float32")]
)
def test_the_faster_one_is_chosen(monkeypatch, half, policy):
    monkeypatch.setattr(module, "bfloat16_support", lambda: Bfloat16Support(True, "it has it"))
    seconds = {"float32": 0.04, "mixed_bfloat16": half}
    chosen = choose_precision(
        lambda policy: Timed(seconds[policy]), object, lambda model: (np.zeros(1), {})
    )
    assert chosen.policy == policy
    assert chosen.reason.startswith("it has it, and a step in mixed_bfloat16 is ")


def test_nothing_is_built_where_bfloat16_is_emulated(monkeypatch):
    monkeypatch.setattr(module, "bfloat16_support", lambda: Bfloat16Support(False, "no"))
    assert choose_precision(None, None, None) == ("float32", "no")


@pytest.mark.slow_backends
def test_a_real_model_is_measured(monkeypatch):
    monkeypatch.setattr(module, "bfloat16_support", lambda: Bfloat16Support(True, "yes"))
    built = []

    def build(policy):
        built.append(classifier(dtype=policy))
        return built[-1]

    chosen = choose_precision(build, lambda: "sgd", lambda model: batches(1)[0])
    assert [model.dtype_policy.name for model in built] == ["float32", "mixed_bfloat16"]
    assert chosen.policy in ("float32", "mixed_bfloat16")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("amx_bf16 amx_tile avx512_bf16", "the processor has amx_bf16"),
        ("avx512_bf16", "the processor has avx512_bf16"),
        ("avx512_bf", "the processor has neither amx_bf16 nor avx512_bf16"),
    ],
)
def test_processors(monkeypatch, tmp_path, flags, reason):
    path = tmp_path / "cpuinfo"
    path.write_text(FLAGS.format(flags))
    found = processor_flags(str(path))
    assert {"fpu", *flags.split()} <= found
    monkeypatch.setattr(half_precision, "processor_flags", lambda: found)
    assert bfloat16_support() == (reason.startswith("the processor has a"), reason)


@pytest.mark.parametrize(
    ("policy", "flags", "reason"),
    [
        ("float32", "", None),
        ("mixed_bfloat16", "amx_bf16", None),
        ("mixed_bfloat16", "avx512_fp16", "the processor has neither amx_bf16 nor avx512_bf16"),
        ("mixed_float16", "avx512_fp16", None),
        ("mixed_float16", "avx512_bf16", "the processor has neither amx_fp16 nor avx512_fp16"),
    ],
)
def test_a_policy_that_is_slower_than_float32(monkeypatch, policy, flags, reason):
    monkeypatch.setattr(half_precision, "processor_flags", lambda: frozenset(flags.split()))
    assert why_slower(policy) == reason


def test_systems_without_the_file_have_no_flags(tmp_path):
    assert processor_flags(str(tmp_path / "absent")) == frozenset()


@pytest.mark.parametrize(("capability", "expected"), [(7.5, False), (8.0, True), (9.0, True)])
def test_gpus(capability, expected):
    found = half_precision.gpu_support("NVIDIA X", capability)
    assert found.expected is expected
    assert found.reason.startswith("NVIDIA X ")


@pytest.mark.backends
def test_this_machine_has_an_answer():
    found = bfloat16_support()
    assert found.reason
    assert isinstance(found.expected, bool)
