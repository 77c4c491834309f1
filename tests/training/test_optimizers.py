"""The vectorized optimizers equal PyTorch's and Keras's, weight by weight."""

import keras
import numpy as np
import pytest
from tests.training import tiny

from visiongarden.errors import ConfigError
from visiongarden.training import VectorAdamW, VectorSGD, WarmupCosine, fit
from visiongarden.training.averaging import AveragingOptimizer

torch = pytest.importorskip("torch")
SHAPES = [(3, 4), (4,), (2, 2, 3, 5), (5,)]


def steps(optimizer, gradients):
    variables = [keras.Variable(start(i), name=f"v{i}") for i in range(len(SHAPES))]
    optimizer.build(variables)
    for row in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in row], variables)
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def start(i):
    return np.random.default_rng(i).normal(size=SHAPES[i]).astype(np.float32)


def gradients(count, scale=1.0):
    rng = np.random.default_rng(9)
    return [[scale * rng.normal(size=s).astype(np.float32) for s in SHAPES] for _ in range(count)]


def by_torch(make, rows, clip=None):
    tensors = [torch.nn.Parameter(torch.tensor(start(i))) for i in range(len(SHAPES))]
    kernels = [t for t in tensors if t.ndim > 1]
    others = [t for t in tensors if t.ndim <= 1]
    optimizer = make(kernels, others)
    for row in rows:
        for tensor, gradient in zip(tensors, row, strict=True):
            tensor.grad = torch.tensor(gradient)
        if clip:
            torch.nn.utils.clip_grad_norm_(tensors, clip)
        optimizer.step()
    return [t.detach().numpy() for t in tensors]


@pytest.mark.backends
@pytest.mark.parametrize("clip", [None, 2.0])
def test_adamw_equals_torch(clip):
    rows = gradients(7)
    wanted = by_torch(
        lambda kernels, others: torch.optim.AdamW(
            [{"params": kernels, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
            lr=0.01,
        ),
        rows,
        clip,
    )
    found = steps(VectorAdamW(learning_rate=0.01, weight_decay=0.1, global_clipnorm=clip), rows)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.backends
def test_sgd_equals_torch():
    rows = gradients(7)
    wanted = by_torch(
        lambda kernels, others: torch.optim.SGD(
            kernels + others, lr=0.01, momentum=0.9, nesterov=True
        ),
        rows,
    )
    found = steps(VectorSGD(learning_rate=0.01, momentum=0.9), rows)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


ALIKE = {
    "clipnorm": {"clipnorm": 0.7},
    "clipvalue": {"clipvalue": 0.3},
    "global_clipnorm": {"global_clipnorm": 2.0},
    "accumulation": {"gradient_accumulation_steps": 3},
    "accumulation and clipping": {"gradient_accumulation_steps": 2, "clipnorm": 0.7},
    "average": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2},
    "loss scale": {"loss_scale_factor": 4.0},
}


@pytest.mark.backends
@pytest.mark.parametrize("options", ALIKE.values(), ids=ALIKE.keys())
def test_options_are_those_of_keras(options):
    rows = gradients(7)
    ours = VectorSGD(learning_rate=0.01, momentum=0.9, **options)
    theirs = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True, **options)
    for a, b in zip(steps(ours, rows), steps(theirs, rows), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.backends
@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorSGD(learning_rate=1.0, momentum=0.0),
        lambda: keras.optimizers.SGD(learning_rate=1.0),
    ],
    ids=["vector", "Keras"],
)
def test_the_average_starts_with_the_weights_and_ramps_up(make):
    optimizer = AveragingOptimizer(make(), decay=0.5)
    variables = [keras.Variable(np.zeros((2, 2), np.float32))]
    optimizer.build(variables)
    values, average = 0.0, 0.0
    for step in range(12):
        optimizer.apply([keras.ops.full((2, 2), -1.0)], variables)
        values += 1
        kept = min(0.5, (1 + step) / (10 + step)) if step else 0
        average = kept * average + (1 - kept) * values
    found = keras.ops.convert_to_numpy(optimizer.averaged()[0])
    np.testing.assert_allclose(found, average, rtol=1e-5)
    assert keras.ops.convert_to_numpy(variables[0].value).tolist() == [[12, 12], [12, 12]]


@pytest.mark.backends
def test_a_batch_that_updates_nothing_does_not_change_the_average():
    inner = keras.optimizers.SGD(learning_rate=1.0, gradient_accumulation_steps=2)
    optimizer = AveragingOptimizer(inner, decay=0.5)
    variables = [keras.Variable(np.zeros((2, 2), np.float32))]
    optimizer.build(variables)
    values, average, found = 0.0, 0.0, []
    for step in range(3):
        for _ in range(2):
            optimizer.apply([keras.ops.full((2, 2), -1.0)], variables)
        values += 1
        kept = min(0.5, (1 + step) / (10 + step)) if step else 0
        average = kept * average + (1 - kept) * values
        found.append(float(keras.ops.convert_to_numpy(optimizer.averaged()[0])[0, 0]))
    assert found[-1] == pytest.approx(average, rel=1e-5)
    assert optimizer.batches == 6


def test_the_average_of_keras_is_used_and_the_weights_stay():
    inner = keras.optimizers.SGD(learning_rate=1.0, use_ema=True, ema_momentum=0.5)
    optimizer = AveragingOptimizer(inner)
    variables = [keras.Variable(np.zeros((2, 2), np.float32))]
    optimizer.build(variables)
    for _ in range(2):
        optimizer.apply([keras.ops.full((2, 2), -1.0)], variables)
    # 1 after the first step, 0.5 × 1 + 0.5 × 2 after the second.
    assert keras.ops.convert_to_numpy(optimizer.averaged()[0])[0, 0] == 1.5
    assert keras.ops.convert_to_numpy(variables[0].value)[0, 0] == 2


def test_a_weight_without_a_gradient_stays():
    variables = [
        keras.Variable(np.ones((2, 2), np.float32)),
        keras.Variable(np.ones(3, np.float32)),
    ]
    optimizer = VectorSGD(learning_rate=1.0)
    optimizer.build(variables)
    optimizer.apply([keras.ops.ones((2, 2)), None], variables)
    assert keras.ops.convert_to_numpy(variables[1].value).tolist() == [1, 1, 1]


def test_a_weight_is_excluded_from_weight_decay():
    variables = [keras.Variable(np.ones((2, 2), np.float32), name=name) for name in "ab"]
    optimizer = VectorSGD(learning_rate=0.5, weight_decay=1.0)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros((2, 2))] * 2, variables)
    values = [float(keras.ops.convert_to_numpy(v.value)[0, 0]) for v in variables]
    assert values == [0.5, 1.0]


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.505), (110, 0.01), (500, 0.01)]
)
def test_warm_up_and_cosine(step, rate):
    schedule = WarmupCosine(1.0, warmup_epochs=1, epochs=11, steps_per_epoch=10)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-3)


def test_a_warm_up_is_at_most_a_quarter_of_the_run():
    schedule = WarmupCosine(1.0).for_run(epochs=4, steps_per_epoch=10)
    assert [float(schedule(step)) for step in (0, 9, 10)] == pytest.approx([0.1, 1.0, 1.0])


def test_the_default_schedule_is_of_a_run():
    with pytest.raises(ConfigError, match="does not know the length of the run"):
        WarmupCosine(0.1)(3)


@pytest.mark.backends
@pytest.mark.parametrize("kind", [VectorAdamW, VectorSGD])
def test_config_is_complete(kind):
    rate = WarmupCosine(0.1, epochs=2, steps_per_epoch=5)
    one = kind(learning_rate=rate, weight_decay=0.2, global_clipnorm=3.0, use_ema=True)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one))
    assert again.get_config() == one.get_config()


@pytest.mark.slow
def test_the_accumulation_of_a_run_counts_updates(tmp_path):
    """Four batches are two updates, as with the argument of the optimizer."""
    rate = {"type": "WarmupCosine", "warmup_epochs": 0}
    weights = []
    for number, fields in enumerate(
        [
            {"accumulate_steps": 2, "optimizer": {"learning_rate": rate}},
            {"optimizer": {"learning_rate": rate, "gradient_accumulation_steps": 2}},
        ]
    ):
        model = tiny.classifier()
        counted = []

        class Count(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None, counted=counted):
                counted.append(int(self.model.optimizer.iterations))

        run = tiny.settings(epochs=1, **fields)
        fit(model, tiny.batches(4), tmp_path / str(number), run, callbacks=(Count(),))
        assert counted == [0, 1, 1, 2]
        weights.append(tiny.values(model))
    for path, value in weights[0].items():
        assert np.array_equal(value, weights[1][path]), path


def test_gradients_are_accumulated_in_one_place():
    with pytest.raises(ConfigError, match="both the run and its optimizer accumulate"):
        tiny.settings(
            accumulate_steps=2, optimizer={"type": "Adam", "gradient_accumulation_steps": 3}
        )
