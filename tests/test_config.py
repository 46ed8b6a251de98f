"""YAML to typed models: overrides, and errors that name the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.config import apply_overrides, build, dump_yaml, load_yaml
from vesalius.errors import ConfigError
from vesalius.training.recipe import Recipe, available_recipes, load_recipe
from vesalius.training.resolve_recipe import resolve_recipe
from vesalius.views.plans import plan_by_name


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'optimizer.weigth_decay'; did you mean 'weight_decay'\?"):
        load_recipe("dino/small", overrides=["optimizer.weigth_decay=0.1"])


def test_unknown_method_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"prototype'; did you mean 'prototypes'\?"):
        load_recipe("dino/small", overrides=["method.prototype=12"])


def test_unknown_section_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'trainig'; did you mean 'training'\?"):
        load_recipe("dino/small", overrides=["trainig.seed=1"])


def test_value_out_of_range_says_what_arrived() -> None:
    with pytest.raises(ConfigError, match=r"'training.batch_size' = -3"):
        load_recipe("dino/small", overrides=["training.batch_size=-3"])


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'dino/small'\?"):
        load_recipe("dino/smal")


@pytest.mark.parametrize("name", sorted(available_recipes()))
def test_every_shipped_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert len(recipe.about) > 20
    resolved, _ = resolve_recipe(recipe, 100_000)  # the views and the backbone are of one size
    of_the_backbone = {"heads"}  # chosen where the network is built
    assert "auto" not in resolved.method.model_dump(exclude=of_the_backbone).values()
    assert len(plan_by_name(recipe.views.plan, **recipe.views.options)) >= 1


def test_a_resolved_recipe_survives_the_way_to_disk(tmp_path: Path) -> None:
    recipe = load_recipe("dino-cxr/small", overrides=["views.options.size=96", "training.budget_minutes=2.5"])
    file = tmp_path / "recipe.yaml"
    file.write_text(dump_yaml(recipe))
    assert build(Recipe, load_yaml(file), source="test") == recipe


def test_a_section_that_is_null_can_be_filled(tmp_path: Path) -> None:
    """As `validation: null` of a run's own recipe."""
    (tmp_path / "run.yaml").write_text(dump_yaml(load_recipe("dino/small")))
    assert "validation: null" in (tmp_path / "run.yaml").read_text()
    recipe = load_recipe(tmp_path / "run.yaml", overrides=["validation.patience=5"])
    assert recipe.validation is not None
    assert recipe.validation.patience == 5


def test_overrides_do_not_touch_their_input() -> None:
    content = {"a": {"b": 1}}
    assert apply_overrides(content, ["a.b=2", "a.c=[1, x]"]) == {"a": {"b": 2, "c": [1, "x"]}}
    assert content == {"a": {"b": 1}}


@pytest.mark.parametrize("assignment", ["nothing", "=3", "a=[1", "a.b=1"])
def test_bad_overrides_are_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides({"a": 3}, [assignment])


@pytest.mark.parametrize(
    ("text", "words"), [("- 1\n", "holds list"), ("a: [", "is not YAML"), ("!!python/object:os.x {}", "is not YAML")]
)
def test_bad_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_yaml(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothere\.yaml: cannot be read"):
        load_recipe(tmp_path / "nothere.yaml")


def test_a_recipe_holds_what_it_changes_of_its_base(tmp_path: Path) -> None:
    base = load_recipe("medino/deformable-small")
    (tmp_path / "mine.yaml").write_text(
        "base: medino/deformable-small\nguidance: {maps: other}\ntraining: {epochs: 3}\nviews: {plan: guided-chest}\n"
    )
    (tmp_path / "further.yaml").write_text(
        "base: mine.yaml\nmethod: {name: none}\nguidance: {coordinates: {weight: 7}}\n"
    )
    mine, further = load_recipe(tmp_path / "mine.yaml"), load_recipe(tmp_path / "further.yaml")
    assert (mine.name, mine.about) == ("unnamed", "")
    assert mine.guidance.model_copy(update={"maps": "deformable"}) == base.guidance
    assert mine.training == base.training.model_copy(update={"epochs": 3.0})
    assert mine.method == base.method
    assert mine.views.options == {}  # options of another plan would mean another thing
    assert (further.method.name, further.guidance.maps, further.guidance.coordinates.weight) == ("none", "other", 7)
    assert further.training == mine.training


def test_a_recipe_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("base: two.yaml\n")
    (tmp_path / "two.yaml").write_text("base: one.yaml\n")
    with pytest.raises(ConfigError, match=r"one\.yaml: is its own base, by way of one\.yaml, two\.yaml"):
        load_recipe(tmp_path / "one.yaml")
    (tmp_path / "three.yaml").write_text("base: dino/smal\n")
    with pytest.raises(ConfigError, match=r"no recipe 'dino/smal'"):
        load_recipe(tmp_path / "three.yaml")
