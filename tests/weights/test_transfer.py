"""Weights are copied by path: exact sets for each change of a model."""

from __future__ import annotations

import ast
import dataclasses
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.weights.damage import damaged

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.weights import transfer


@vg.register(package="test_transfer")
class Trunk(vg.Backbone):
    """Stages of plain convolutions; `inserted` puts one more in front of the second."""

    widths: tuple[int, ...] = (4, 6, 8)
    inserted: bool = False

    def wire(self, images):
        maps = {}
        x = vg.layers.ConvNormAct(4, 3, strides=2, name="stem")(images)
        x = vg.layers.ConvNormAct(4, 3, strides=2, name="stem2")(x)
        for i, width in enumerate(self.widths):
            if self.inserted and i == 1:
                x = vg.layers.ConvNormAct(x.shape[-1], 3, name="extra")(x)
            x = vg.layers.ConvNormAct(width, 3, strides=2, name=f"stage{i + 1}")(x)
            maps[f"p{i + 3}"] = x
        return maps


def detector(num_classes=2, decoder=None, **fields):
    return vg.Detector(
        Trunk(**fields),
        decoder or vg.decoders.FPN(channels=8),
        vg.heads.AnchorFree(num_classes=num_classes, bins=4),
        image_size=64,
    )


def numbers(model):
    return {w.path: keras.ops.convert_to_numpy(w.value).copy() for w in model.weights}


def scrambled(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.random(w.shape, dtype=np.float32) for w in model.get_weights()])
    return model


def changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


CHANGES = {
    "nothing": ({}, lambda path: True),
    "num_classes": ({"num_classes": 3}, lambda path: "_classes/out/" not in path),
    "another decoder": (
        {"decoder": vg.decoders.PathAggregation(depth=0.33)},
        lambda path: path.startswith("backbone/"),
    ),
    "a block inserted": ({"inserted": True}, lambda path: "/extra/" not in path),
    # The stage itself, and what reads it: the next stage's kernel and the decoder's lateral one.
    "a stage widened": (
        {"widths": (4, 10, 8)},
        lambda path: (
            not path.startswith("backbone/stage2/")
            and path not in ("backbone/stage3/conv/kernel", "decoder/lateral_p4/kernel")
        ),
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    model = scrambled(detector())
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    return folder, numbers(model)


@pytest.mark.parametrize("kind", ["m.keras", pytest.param("m.weights.h5", marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_transfer_after_a_change_copies_exactly_the_equal_weights(saved, change, kind):
    folder, source = saved
    fields, kept = CHANGES[change]
    target = scrambled(detector(**fields), seed=1)
    before = numbers(target)
    report = transfer(folder / kind, target, min_coverage=0.0, class_rows="position")
    after = numbers(target)
    if change == "another decoder":
        # PathAggregation keeps the channels of its levels, so the head of FPN's does not fit.
        assert {path for path in report.paths if not path.startswith("head/")} == {
            path for path in after if path.startswith("backbone/")
        }
    else:
        assert set(report.paths) == {path for path in after if kept(path)}
    assert changed(before, after) == set(report.paths)
    assert all(np.array_equal(after[path], source[path]) for path in report.paths)
    assert report.renamed == ()
    listed = [*report.paths, *(d.path for d in report.differs)]
    listed += [weight.path for weight in report.only_in_target]
    assert sorted(listed) == sorted(after)


def test_shares_are_of_parameters(saved):
    folder, source = saved
    target = detector(num_classes=3)
    report = transfer(folder / "m.keras", target, class_rows="position")
    sizes = {path: array.size for path, array in numbers(target).items()}
    kept = sum(sizes[path] for path in report.paths)
    assert report.share_of_target == pytest.approx(kept / sum(sizes.values()))
    assert report.share_of_source == pytest.approx(kept / sum(a.size for a in source.values()))
    assert {d.path: (d.received, d.wanted) for d in report.differs}["head/p3_classes/out/bias"] == (
        "2 float32",
        "3 float32",
    )
    assert "shape or dtype differs" in str(report)
    assert max(map(len, str(report).splitlines())) <= 100
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.copied = ()


def test_below_min_coverage_it_raises_and_changes_nothing(saved):
    target = scrambled(detector(decoder=vg.decoders.FPN(channels=64)), seed=1)
    before = numbers(target)
    with pytest.raises(UserError) as error:
        transfer(saved[0] / "m.keras", target)
    assert "nothing was changed" in str(error.value)
    assert "decoder/out_p3/kernel" in str(error.value)
    assert changed(before, numbers(target)) == set()


def two_denses(order):
    x = inputs = keras.Input((4,))
    for name in order:
        x = keras.layers.Dense(4, name=name)(x)
    return scrambled(keras.Model(inputs, x), seed=len(order[0]))


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", None])
def test_layers_of_one_shape_in_another_order_keep_their_names(tmp_path, ending):
    """`load_weights` swaps them silently."""
    source, target = two_denses(("first", "second")), two_denses(("second", "first"))
    path = source
    if ending:
        path = tmp_path / f"m{ending}"
        (source.save if ending == ".keras" else source.save_weights)(path)
    transfer(path, target, min_coverage=1.0)
    assert changed(numbers(source), numbers(target)) == set()


def unnamed(*units):
    x = inputs = keras.Input((4,))
    for i, number in enumerate(units):
        name = f"dense_{i}" if i else "dense"  # as Keras does in a fresh process
        x = keras.layers.Dense(number, name=name)(x)
    return scrambled(keras.Model(inputs, x), seed=len(units))


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", None])
def test_automatic_names_are_positions(tmp_path, ending):
    """An insertion would hand the second layer's weights to the new one."""
    source = path = unnamed(4, 4, 4)
    if ending:
        path = tmp_path / f"m{ending}"
        (source.save if ending == ".keras" else source.save_weights)(path)
    inserted = unnamed(4, 4, 4, 4)
    before = numbers(inserted)
    with pytest.raises(UserError, match="it has an automatic name"):
        transfer(path, inserted, min_coverage=0)
    assert changed(before, numbers(inserted)) == set()
    same = unnamed(4, 4, 4)
    transfer(path, same, min_coverage=1.0)
    assert changed(numbers(source), numbers(same)) == set()
    transfer(path, inserted, rename={"dense_2": "dense_3"}, min_coverage=0.25)
    expected = numbers(source)["dense_2/kernel"]
    assert np.array_equal(numbers(inserted)["dense_3/kernel"], expected)


def nested(*names):
    inputs = x = keras.Input((4,))
    for name in names:
        inner = keras.Input((4,))
        dense = keras.layers.Dense(4, name=f"{name}_dense")(inner)
        norm = keras.layers.BatchNormalization(name=f"{name}_norm")(dense)
        x = keras.Model(inner, norm, name=name)(x)
    return scrambled(keras.Model(inputs, x), seed=len(names))


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_models_inside_a_plain_keras_model(tmp_path, ending):
    source, target = nested("a", "b"), nested("c", "b", "a")
    path = tmp_path / f"m{ending}"
    (source.save if ending == ".keras" else source.save_weights)(path)
    report = transfer(path, target, min_coverage=0.5)
    assert set(report.paths) == set(numbers(source))
    assert all(np.array_equal(v, numbers(target)[k]) for k, v in numbers(source).items())
    assert bool(report.by_position) == (ending == ".weights.h5")


def test_gamma_is_not_mistaken_for_beta(tmp_path):
    """Both files hold three vectors of one shape; only the config specifies which is missing."""

    def norm(**options):
        inputs = keras.Input((4,))
        layer = keras.layers.BatchNormalization(name="norm", **options)
        return keras.Model(inputs, layer(inputs))

    norm(scale=False).save(tmp_path / "m.keras")
    report = transfer(tmp_path / "m.keras", norm(center=False), min_coverage=0)
    assert report.paths == ("norm/moving_mean", "norm/moving_variance")
    assert [weight.path for weight in report.only_in_source] == ["norm/beta"]
    assert [weight.path for weight in report.only_in_target] == ["norm/gamma"]


def test_optimizer_and_dropout_are_not_weights(tmp_path):
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5, name="drop")(keras.layers.Dense(4, name="dense")(inputs))
    model = keras.Model(inputs, x)
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 4)), np.zeros((4, 4)), verbose=0)
    model.save(tmp_path / "m.keras")
    report = transfer(tmp_path / "m.keras", keras.models.clone_model(model), min_coverage=1.0)
    assert set(report.paths) == {"dense/kernel", "dense/bias"}
    assert report.only_in_source == ()


def test_the_classes_of_the_file_need_not_be_registered(saved, tmp_path):
    """The config names a class that nobody registered; the numbers are read all the same."""
    folder, source = saved
    target = detector()
    with (
        zipfile.ZipFile(folder / "m.keras") as old,
        zipfile.ZipFile(tmp_path / "n.keras", "w") as n,
    ):
        for name in old.namelist():
            n.writestr(name, old.read(name).replace(b"test_transfer>Trunk", b"somewhere>Else"))
    transfer(tmp_path / "n.keras", target, min_coverage=1.0, class_rows="position")
    assert changed(source, numbers(target)) == set()


@pytest.mark.backends
def test_the_callers_arrays_are_copied():
    model = detector()
    arrays = {path: np.ones_like(array) for path, array in numbers(model).items()}
    transfer(arrays, model, min_coverage=1.0, class_rows="position")
    for array in arrays.values():
        array[...] = 7
    assert all((array == 1).all() for array in numbers(model).values())


@pytest.mark.parametrize(
    "dtype", ["float16", pytest.param("bfloat16", marks=pytest.mark.backends), "float64"]
)
def test_float_dtypes_are_converted_and_reported(dtype):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    model = two_denses(("first", "second"))
    arrays = {path: np.full(a.shape, 1 / 3).astype(kind) for path, a in numbers(model).items()}
    report = transfer(arrays, model)
    assert {moved.conversion for moved in report.copied} == {f"{dtype} → float32"}
    assert f"converted {dtype} → float32: 4 weights" in str(report)
    for path, array in numbers(model).items():
        assert np.array_equal(array, arrays[path].astype("float32"))


def test_integers_are_not_weights():
    model = two_denses(("first", "second"))
    arrays = {path: a.astype("int8") for path, a in numbers(model).items()}
    report_of = pytest.raises(UserError, match="4 × 4 int8, expected 4 × 4 float32")
    with report_of:
        transfer(arrays, model, min_coverage=0)


def test_numbers_too_large_for_float16_change_nothing():
    inputs = keras.Input((2,))
    layers = [keras.layers.Dense(2, name=n, dtype="float16") for n in ("a", "b")]
    model = keras.Model(inputs, layers[1](layers[0](inputs)))
    before = numbers(model)
    arrays = {path: np.full(a.shape, 1.0, "float32") for path, a in before.items()}
    arrays["b/bias"][0] = 70000
    with pytest.raises(UserError, match="b/bias overflows the float16 weight b/bias"):
        transfer(arrays, model)
    assert changed(before, numbers(model)) == set()


@pytest.mark.parametrize(
    ("rename", "names"),
    [
        ({"net": "first"}, {"net/kernel": "first/kernel"}),
        ({"module.": ""}, {"module/first/kernel": "first/kernel"}),
        ({"": "first"}, {"kernel": "first/kernel"}),
        ({"a/*": "*"}, {"a/first/kernel": "first/kernel"}),
        ({"x.*1": "*rst"}, {"x/fi1/kernel": "first/kernel"}),
        ({"**/old": "first"}, {"x/y/old/kernel": "first/kernel"}),
        ({"x": "y", "y": "first"}, {"x/kernel": "first/kernel"}),
        ({"firs": "second", "f": "f"}, None),
        (lambda name: name.replace("1st", "first"), {"1st/kernel": "first/kernel"}),
    ],
)
def test_renames(rename, names):
    model = two_denses(("first", "second"))
    arrays = dict.fromkeys(names or {"first/kernel": ""}, np.ones((4, 4), "float32"))
    if names is None:
        with pytest.raises(UserError, match="'firs' matches no weight"):
            transfer(arrays, model, rename=rename, min_coverage=0)
        return
    report = transfer(arrays, model, rename=rename, min_coverage=0)
    assert {moved.source: moved.path for moved in report.renamed} == names
    assert report.copied == ()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ({"a/kernel": 3}, {}, "is not an array"),
        (object(), {}, "is not a source of weights"),
        ("none.keras", {}, "there is no weights file"),
        ({}, {"min_coverage": 2}, "is not a fraction"),
        ({}, {"layout": "tf"}, "unknown layout"),
        ({}, {}, "at least one weight|at least 90"),
        ({"x/kernel": np.ones((4, 4))}, {"rename": {"*": "*/*"}}, "more wildcards"),
        (
            {"first/kernel": np.ones((4, 4)), "x/kernel": np.ones((4, 4))},
            {"rename": {"x": "first"}},
            "two weights of the source match first/kernel",
        ),
    ],
)
def test_mistakes(source, options, message):
    with pytest.raises(UserError, match=message):
        transfer(source, two_denses(("first", "second")), **options)


def test_two_weights_of_one_path_are_rejected():
    inputs = x = keras.Input((4,))
    for name in ("a", "b"):
        inner = keras.Input((4,))
        x = keras.Model(inner, keras.layers.Dense(4, name="dense")(inner), name=name)(x)
    with pytest.raises(UserError, match="have the path dense/kernel"):
        transfer({}, keras.Model(inputs, x))


@pytest.mark.slow
def test_from_file_to_file(saved, tmp_path):
    scrambled(detector(num_classes=3), seed=1).save(tmp_path / "target.keras")
    output = tmp_path / "out.keras"
    with pytest.raises(UserError, match=r"ends in \.keras"):
        transfer(saved[0] / "m.keras", tmp_path / "target.keras", output=tmp_path / "out.h5")
    other = {"backbone/stem/conv/kernel": "nothing"}
    with pytest.raises(UserError, match="nothing was changed"):
        transfer(
            saved[0] / "m.keras",
            tmp_path / "target.keras",
            output=output,
            rename=other,
            min_coverage=1.0,
        )
    with pytest.raises(UserError, match=r"output='trained\.keras'"):
        transfer(saved[0] / "m.keras", tmp_path / "target.keras")
    assert not output.exists()
    report = transfer(saved[0] / "m.keras", tmp_path / "target.keras", output=output)
    written = numbers(vg.load(output))
    assert all(np.array_equal(written[path], saved[1][path]) for path in report.paths)


def test_only_selected_weights_are_copied(saved, tmp_path):
    target = detector()
    before = numbers(target)
    report = transfer(saved[0] / "m.keras", target, only=["backbone/stem", "**/stem2"])
    after = numbers(target)
    chosen = {path for path in before if re.match(r"backbone/stem2?(/|$)", path)}
    assert set(report.paths) == chosen
    assert set(report.excluded) == set(before) - chosen
    assert all(np.array_equal(after[path], saved[1][path]) for path in chosen)
    assert all(np.array_equal(after[path], before[path]) for path in report.excluded)
    assert f"not selected: {len(report.excluded)} weights" in str(report)
    with pytest.raises(UserError, match="'backbone/stam' matches no weight"):
        transfer(saved[0] / "m.keras", target, only="backbone/stam")


def rewritten(saved, target, change):
    """A copy of the archive whose HDF5 member was changed by `change(file)`."""
    with zipfile.ZipFile(saved[0] / "m.keras") as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".h5"):
                inner = target.with_suffix(".h5")
                inner.write_bytes(data)
                with h5py.File(inner, "a") as file:
                    change(file)
                data = inner.read_bytes()
            new.writestr(name, data)
    return target


def _add_one(file):
    names = []
    file.visititems(lambda n, i: names.append(n) if isinstance(i, h5py.Dataset) else None)
    file[names[0]][...] = file[names[0]][...] + 1


def _loop(file):
    file["layers/again"] = file["layers"]


def _external(file):
    file["layers/out"] = h5py.ExternalLink("/etc/passwd", "/")


def _huge(file):
    file.create_dataset("layers/x/vars/0", shape=(10**12,), dtype="f4", chunks=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_add_one, "differ from the saved ones"),
        (_loop, "do not form a tree"),
        (_external, "is a link"),
        (_huge, "a chunked array is too large for the file"),
    ],
)
def test_hostile_archives(saved, tmp_path, change, message):
    target = detector()
    before = numbers(target)
    with pytest.raises(UserError, match=message):
        transfer(rewritten(saved, tmp_path / "bad.keras", change), target)
    assert changed(before, numbers(target)) == set()


def test_a_compressed_archive_is_rejected(saved, tmp_path):
    with (
        zipfile.ZipFile(saved[0] / "m.keras") as old,
        zipfile.ZipFile(tmp_path / "bad.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(UserError, match="is compressed"):
        transfer(tmp_path / "bad.keras", detector())


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """A small file of each kind with its true numbers; of visiongarden, and of another program."""
    folder = tmp_path_factory.mktemp("small")
    ours, plain = scrambled(detector()), two_denses(("first", "second"))
    ours.save(folder / "ours.keras")
    plain.save(folder / "plain.keras")
    plain.save_weights(folder / "plain.weights.h5")
    targets = detector(), two_denses(("first", "second"))
    return {
        path: (numbers(ours), targets[0]) if "ours" in path.name else (numbers(plain), targets[1])
        for path in sorted(folder.iterdir())
    }


@given(st.data())
def test_damage_is_rejected_or_harmless(small_files, tmp_path_factory, data):
    """A byte changed or an end cut off: a UserError, or the original values."""
    path = data.draw(st.sampled_from(list(small_files)))
    copy = damaged(data, path, tmp_path_factory.mktemp("damaged"))
    true, target = small_files[path]
    before = numbers(target)
    try:
        report = transfer(copy, target, min_coverage=0)
    except UserError:
        assert changed(before, numbers(target)) == set()
        return
    if path.suffix == ".keras":
        # A weights file alone has no checksum, so that only its structure can be checked.
        after = numbers(target)
        assert all(np.array_equal(after[path], true[path]) for path in report.paths)
        scrambled(target, seed=1)


def test_another_number_of_classes_needs_no_option():
    """The head's inner width follows the classes; backbone and decoder are copied whole."""

    def detector(classes, channels=8):
        return vg.Detector(
            vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
            vg.decoders.FPN(channels=channels),
            vg.heads.AnchorFree(num_classes=classes, bins=4),
            image_size=64,
        )

    source, target = detector(80), detector(3)
    report = transfer(source, target)
    assert report.coverage == 1.0
    shares = report.share_by_part
    assert (shares["backbone"], shares["decoder"]) == (1.0, 1.0)
    head = [w for w in target.weights if w.path.startswith("head/")]
    paths = set(report.paths)
    copied = sum(int(np.prod(w.shape)) for w in head if w.path in paths)
    whole = sum(int(np.prod(w.shape)) for w in head)
    assert 0 < copied < whole
    assert shares["head"] == pytest.approx(copied / whole)
    assert "backbone 100.0%, decoder 100.0%, head" in str(report)
    for one, other in zip(source.backbone.weights, target.backbone.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    wider = detector(3, channels=64)
    before = wider.get_weights()
    with pytest.raises(UserError, match="backbone and decoder would be copied") as error:
        transfer(source, wider)
    assert "decoder/" in error.value.received
    assert "head/" not in error.value.received.partition(";")[0]
    assert all(map(np.array_equal, before, wider.get_weights()))


def of_preprocessing(**fields):
    return vg.Detector(
        Trunk(),
        vg.decoders.FPN(channels=8),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        image_size=64,
        preprocessing=fields,
    )


@pytest.mark.parametrize("fields", [{"order": (2, 1, 0)}, {"scale": 1.0}, {"mean": 0.5}])
def test_a_backbone_trained_on_other_values(tmp_path, fields):
    trained, target = scrambled(of_preprocessing(**fields)), of_preprocessing()
    trained.save(tmp_path / "m.keras")
    before = numbers(target)
    for source in (trained, tmp_path / "m.keras"):
        with pytest.raises(UserError, match="preprocesses images in another way") as caught:
            transfer(source, target)
        assert caught.value.rule == str(trained.preprocessing)
        assert not changed(before, numbers(target))
    stated = re.search(r"preprocessing=(\{.*?\})", caught.value.fix)[1]
    assert transfer(trained, of_preprocessing(**ast.literal_eval(stated))).coverage == 1
    # A decoder takes the backbone's feature maps in either case.
    assert transfer(trained, target, only="decoder", min_coverage=0).paths
    assert transfer({w.path: w for w in trained.weights}, target, class_rows="position").paths


def test_the_same_values_from_other_images():
    trained = scrambled(of_preprocessing(dtype="uint16", scale=1 / 4095))
    target = of_preprocessing(scale=1.0, std=255.0)
    assert transfer(trained, target, class_rows="position").share_of_target == 1
    assert transfer(of_preprocessing(), target, class_rows="position").share_of_target == 1
    gray = of_preprocessing(channels=1, order=(0, 0, 0))
    assert transfer(of_preprocessing(), gray, class_rows="position").share_of_target == 1
