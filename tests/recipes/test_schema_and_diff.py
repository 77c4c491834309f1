"""The JSON schema of recipes, complete recipes and their differences."""

import json
from collections.abc import Callable

import keras
import pytest

from visiongarden.cli.entry import main
from visiongarden.config import load_yaml
from visiongarden.decoders import PassOn
from visiongarden.errors import UserError
from visiongarden.recipes import Recipe, compare, diff, environment, resolve, schema
from visiongarden.registry import register
from visiongarden.scenes import make_scenes

pytestmark = pytest.mark.xdist_group("schema")  # one worker makes what the tests share


def fields(**changes):
    return {
        "model": {"head": {"type": "AnchorFree", "num_classes": 2}},
        "data": {"path": "my_images"},
    } | changes


@pytest.fixture(scope="module")
def document():
    return schema()


def resolved(reference, document):
    return document["$defs"][reference["$ref"].rsplit("/", 1)[1]]


def test_schema_knows_every_field_and_part():
    document = schema()
    assert set(document["properties"]) == set(Recipe.model_fields)
    assert document["required"] == ["data"]
    choices = document["$defs"]["Decoder"]["anyOf"]
    assert {"FPN", "UNet", "PassOn"} <= set(choices[0]["enum"])
    fpn = next(
        r
        for c in choices[1:]
        if (r := resolved(c, document))["properties"]["type"] == {"const": "FPN"}
    )
    extra = {"extra_levels", "extra_levels_from", "extra_levels_by"}
    assert set(fpn["properties"]) == {"type", "channels", "levels"} | extra
    assert fpn["properties"]["channels"]["description"] == "channels of all levels."
    # The data gives the number of classes, so a head need not.
    head = document["$defs"]["Head.AnchorFree"]
    assert head["required"] == ["type"]
    training = document["$defs"]["Training"]["properties"]
    assert training["epochs"]["description"] == "Number of passes over the training split."
    assert "Nesterov" in training["optimizer"]["description"]
    field = training["multi_scale"]
    assert (field["minimum"], field["maximum"]) == (0, 0.5)
    assert "up to five sizes" in field["description"]
    mosaic = document["$defs"]["Transform.Mosaic"]["properties"]
    assert mosaic["skip_last_epochs"]["default"] == 0
    assert "end of the run" in mosaic["skip_last_epochs"]["description"]
    json.dumps(document)


def test_defaults_without_a_json_value_keep_the_schema_valid():
    @register(package="schema_tests")
    class Activated(PassOn):
        activation: Callable[..., object] = keras.activations.relu
        scale: float = 2.0
        limit: float = float("inf")

    part = schema()["$defs"]["Decoder.Activated"]["properties"]
    assert "default" not in part["activation"]
    assert "default" not in part["limit"]  # JSON cannot represent infinity
    assert part["scale"]["default"] == 2.0


def test_every_reference_of_the_schema_resolves():
    document = schema()

    def references(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "$ref":
                    yield value
                yield from references(value)
        elif isinstance(node, list):
            for item in node:
                yield from references(item)

    for reference in references(document):
        assert reference.removeprefix("#/$defs/") in document["$defs"], reference


def valid(value, node, document):
    """Independent validator of the parts of JSON schema that `schema` uses."""
    if "$ref" in node:
        return valid(value, document["$defs"][node["$ref"].removeprefix("#/$defs/")], document)
    if "anyOf" in node and not any(valid(value, choice, document) for choice in node["anyOf"]):
        return False
    for rule in node.get("allOf", []):
        if valid(value, rule["if"], document) and not valid(value, rule["then"], document):
            return False
    if "const" in node and value != node["const"]:
        return False
    if "enum" in node and value not in node["enum"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None),
             "number": (int, float), "boolean": bool}  # fmt: skip
    if "type" in node:
        if not isinstance(value, kinds[node["type"]]):
            return False
        if node["type"] in ("integer", "number") and isinstance(value, bool):
            return False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        within = (
            node.get("minimum", value) <= value <= node.get("maximum", value)
            and value > node.get("exclusiveMinimum", float("-inf"))
            and value < node.get("exclusiveMaximum", float("inf"))
        )
        if not within:
            return False
    if isinstance(value, list):
        items = node.get("prefixItems") or [node.get("items", {})] * len(value)
        if not node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value)):
            return False
        return all(valid(v, n, document) for v, n in zip(value, items, strict=False))
    if isinstance(value, dict):
        known = node.get("properties", {})
        if any(name not in value for name in node.get("required", [])):
            return False
        extra = node.get("additionalProperties", True)
        for name, item in value.items():
            rule = known.get(name, extra if isinstance(extra, dict) else {})
            if (name not in known and extra is False) or not valid(item, rule, document):
                return False
    return True


COSINE = {"type": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 100}
SEGMENTATION = {
    "task": "segmentation",
    "model": {"head": {"type": "Segmentation", "num_classes": 3}, "image_size": 64},
    "transforms": [{"type": "Affine", "scale": [0.5, 2]}, "HorizontalFlip"],
}


@pytest.mark.parametrize(
    "written",
    [
        fields(),
        fields(training={"epochs": 3, "ema_decay": None}, task="detection"),
        fields(training={"optimizer": "AdamW"}),
        fields(training={"optimizer": {"learning_rate": {"peak": 0.01}, "clipnorm": 1.0}}),
        fields(training={"optimizer": {"type": "SGD", "learning_rate": 0.1, "nesterov": True}}),
        fields(training={"optimizer": {"type": "Adam", "learning_rate": COSINE}}),
        fields(training={"callbacks": [{"type": "EarlyStopping", "monitor": "val_AP"}]}),
        fields(**SEGMENTATION),
        fields(model={"backbone": "CSPDarknet", "head": "AnchorFree", "image_size": [64, 96]}),
        resolve(fields()).to_dict(),
        resolve(fields(**SEGMENTATION)).to_dict(),
    ],
)
def test_the_schema_accepts_valid_recipes(document, written):
    assert valid(json.loads(json.dumps(written)), document, document)


@pytest.mark.parametrize(
    "written",
    [
        {"training": {}},
        fields(trainning={}),
        fields(training={"epochs": 0}),
        fields(training={"optimizer": "Adamw"}),
        fields(training={"optimizer": {"type": "Adam", "lr": 0.1}}),
        fields(training={"optimizer": {"type": "Adam", "learning_rate": "fast"}}),
        fields(training={"optimizer": {"learning_rate": {"type": "CosineDecay"}}}),
        fields(training={"callbacks": "EarlyStopping"}),
        fields(training={"callbacks": [{"type": "ModelCheckpoint"}]}),
        fields(training={"learning_rate": 0.1}),
        fields(model={"head": {"type": "AnchorFree", "bin": 3}}),
        fields(model={"decoder": {"channels": 3}}),
        fields(model={"decoder": "FNP"}),
        fields(task="counting"),
        fields(transforms=["Mosiac"]),
        fields(transforms=[{"type": "Mosaic", "size": 1}]),
        fields(transforms={"type": "Mosaic"}),
    ],
)
def test_the_schema_refuses_invalid_recipes(document, written):
    assert not valid(written, document, document)


def test_diff_names_the_fields(tmp_path):
    first = resolve(fields())
    second = resolve(fields(), overrides=["training.epochs=7", "model.decoder.type=FPN"])
    found = {d.path: (d.before, d.after) for d in compare(first, second)}
    assert found["training.epochs"] == (100, 7)
    assert found["model.decoder.type"] == ("PathAggregation", "FPN")
    assert found["model.decoder.depth"] == (0.33, None)
    assert not [path for path in found if path.startswith(("data", "transforms"))]
    assert compare(first, first) == []
    assert "training.epochs: 100 → 7" in map(str, compare(first, second))
    with pytest.raises(UserError, match=r"recipe .*nowhere\.yaml does not exist"):
        compare(tmp_path / "nowhere.yaml", first)
    with pytest.raises(UserError, match=r"recipe .*recipe\.yaml does not exist") as error:
        compare(tmp_path, first)  # a folder without a recipe
    assert str(tmp_path) not in error.value.fix


def command(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code == code
    return capsys.readouterr().out


@pytest.mark.slow
def test_by_command(tmp_path, capsys):
    scenes = make_scenes(tmp_path / "scenes", 4, (32, 32))
    text = command(capsys, "recipe", "show", scenes, "training.epochs=3")
    (tmp_path / "a.yaml").write_text(text)
    assert load_yaml(tmp_path / "a.yaml")["training"]["seed"] == 0
    assert resolve(tmp_path / "a.yaml") == resolve(scenes, overrides=["training.epochs=3"])
    (tmp_path / "run").mkdir()
    more = command(capsys, "recipe", "show", tmp_path / "a.yaml", "training.epochs=4")
    (tmp_path / "run" / "recipe.yaml").write_text(more)
    printed = command(capsys, "recipe", "diff", tmp_path / "a.yaml", tmp_path / "run", code=1)
    assert printed == "training.epochs: 3 → 4\n"
    assert command(capsys, "recipe", "diff", tmp_path / "a.yaml", tmp_path / "a.yaml") == ""
    assert json.loads(command(capsys, "recipe", "schema")) == schema()


def test_environment(tmp_path, monkeypatch):
    import subprocess

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment()["git"] is None
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / "a").write_text("1")
    subprocess.run(["git", "add", "a"], check=True)
    subprocess.run([*run, "commit", "-qm", "a"], check=True)
    found = environment()
    assert len(found["git"]["commit"]) == 40
    assert not found["git"]["dirty"]
    (tmp_path / "a").write_text("2")
    assert environment()["git"]["dirty"]


def test_models_of_classification_recipes_are_compared(tmp_path):
    files = []
    for classes in (2, 3):
        file = tmp_path / f"{classes}.yaml"
        file.write_text(
            "task: classification\n"
            f"model: {{head: {{type: Classification, num_classes: {classes}}}, image_size: 64}}\n"
            "data: {path: anywhere}\n"
        )
        files.append(file)
    found = diff(*files)
    assert [(each.place, each.before, each.after) for each in found.fields] == [
        ("head.num_classes", 2, 3)
    ]
