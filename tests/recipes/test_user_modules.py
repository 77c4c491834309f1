"""What another process has to import before it trains a recipe."""

import keras
import pytest
from tests.recipes.hidden_state import Patches

import visiongarden as vg
from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.recipes.user_modules import user_modules


@keras.saving.register_keras_serializable("test_user_modules")
def squared_relu(x):
    return keras.ops.square(keras.ops.relu(x))


@vg.register(package="test_user_modules")
class Sizes(vg.tasks.ClassificationTask):
    name = "test_sizes"

    def matches(self, fields, dataset=None):
        return 0.0


@pytest.mark.parametrize(
    ("recipe", "modules"),
    [
        ({}, []),
        ({"model": {"backbone": {"type": "CSPDarknet"}}, "task": "detection"}, []),
        ({"model": {"backbone": vg.backbones.CSPDarknet().to_dict()}}, []),
        (
            {"model": {"backbone": {"type": registry.key_of(Patches)}}},
            ["tests.recipes.hidden_state"],
        ),
        ({"training": {"callbacks": [{"type": "my.callbacks:Mine"}]}}, ["my.callbacks"]),
        ({"task": "test_sizes"}, [__name__]),
        ({"model": {"backbone": {"activation": "test_user_modules>squared_relu"}}}, [__name__]),
    ],
)
def test_modules_of_what_a_recipe_names(recipe, modules):
    assert user_modules(recipe) == modules


def test_what_a_script_defines_is_an_error(monkeypatch):
    key = registry.key_of(Patches)
    entry = registry.Registered(key, Patches, "__main__")
    monkeypatch.setitem(registry._known, key, entry)
    with pytest.raises(UserError, match="Patches is defined in a script") as error:
        user_modules({"model": {"backbone": {"type": "Patches"}}})
    assert "separate module" in error.value.fix
