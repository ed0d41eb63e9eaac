import re
from collections.abc import Callable
from typing import get_args

import pytest

from harness.errors import StudyError
from harness.study import Study
from harness.study.allowed import Recipe
from harness.study.grid import Level
from harness.study.identity import study_id
from harness.study.recipes import DECIDED, RECIPES, recipe_words
from harness.study.settings import Settings
from tests.study.test_plan import digests, scenarios

LoadText = Callable[..., Study]
TEXT = """\
study: demo
data: {source: folder, path: images, image_size: 64}
base: {backbone: resnet18, weights: /a.safetensors}
stages: [{name: all, grid: {epochs: [2, 3]}}]
"""
MODERN = dict(RECIPES["modern"])


def written(values: object) -> list[str]:
    assert isinstance(values, dict)
    return [f"base.{name}={value}" for name, value in values.items()]


def test_the_recipe_of_the_paper_is_the_defaults(study_of: LoadText) -> None:
    assert RECIPES["paper"] == {}
    named, plain = study_of(TEXT, "base.recipe=paper"), study_of(TEXT)
    assert named.base == plain.base.model_copy(update={"recipe": "paper"})
    assert study_id(named, digests()) == study_id(plain, digests())


def test_the_words_of_a_base_are_what_it_has_and_not_what_the_recipe_says(study_of: LoadText) -> None:
    words = recipe_words(study_of(TEXT, "base.recipe=modern", "base.optimizer=sgd").base)
    assert words is not None and words.startswith("recipe modern: augment medical, ")
    assert "optimizer sgd" in words and "learning_rate 0.002" in words
    assert recipe_words(study_of(TEXT).base) is None


@pytest.mark.parametrize("recipe", ["probe", "modern"])
def test_a_recipe_is_its_settings_written_out(study_of: LoadText, recipe: str) -> None:
    values = RECIPES[recipe]
    short, long = study_of(TEXT, f"base.recipe={recipe}"), study_of(TEXT, *written(dict(values)))
    assert values.items() <= dict(short.base).items()
    assert study_id(short, digests()) == study_id(long, digests())
    assert [each.id for each in scenarios(short)] == [each.id for each in scenarios(long)]
    assert study_id(short, digests()) != study_id(study_of(TEXT), digests())


def test_what_the_study_names_itself_stays(study_of: LoadText) -> None:
    base = study_of(TEXT, "base.recipe=modern", "base.optimizer=sgd").base
    assert (base.optimizer, base.schedule) == ("sgd", MODERN["schedule"])
    factor = study_of(TEXT, "base.recipe=modern", "stages.0.grid={schedule: [linear]}")
    assert factor.base.schedule == "constant", "the default, which the factor replaces"
    brought = study_of(TEXT, "stages.0.grid={epochs: [2, {name: 3, schedule: linear}], recipe: [modern]}")
    (level,) = brought.stages[0].factors["recipe"]
    assert "schedule" not in level.brings
    assert level.brings["optimizer"] == MODERN["optimizer"]


def test_levels_of_recipes_bring_all_that_any_recipe_decides(study_of: LoadText) -> None:
    grid = "stages.0.grid={recipe: [paper, modern, {name: modern, learning_rate: 0.5}]}"
    paper, modern, own = study_of(TEXT, grid).stages[0].factors["recipe"]
    defaults = {name: Settings.model_fields[name].default for name in DECIDED}
    assert paper == Level("paper", defaults)
    assert modern == Level("modern", defaults | MODERN)
    assert own == Level("modern", {**modern.brings, "learning_rate": 0.5})


def test_a_recipe_replaces_that_of_the_winner_whole(study_of: LoadText) -> None:
    stages = (
        "stages=[{name: a, grid: {recipe: [modern]}, select: {metric: val/mcc}}, {name: b, grid: {recipe: [paper]}}]"
    )
    study = study_of(TEXT, stages)
    (reached,) = [*study.reached(DECIDED)][1]
    assert {name: getattr(reached, name) for name in DECIDED} == {
        name: getattr(Settings(backbone="x"), name) for name in DECIDED
    }


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("base.recipe=modem", "base.recipe: modem is given; allowed: paper, probe, modern"),
        ("stages.0.grid={recipe: [paper, modem]}", "modem is given; allowed: paper, probe, modern"),
        ("base.recipe=[modern]", "base.recipe"),
        (
            "search={trials: 3, space: {recipe: {choices: [paper, modern]}}}",
            "search.space.recipe: a recipe is many settings at once; name those that are to be searched",
        ),
    ],
)
def test_what_is_no_recipe_is_refused(study_of: LoadText, override: str, problem: str) -> None:
    with pytest.raises(StudyError, match=re.escape(problem)):
        study_of(TEXT, override)


def test_every_recipe_that_is_allowed_is_one() -> None:
    assert set(RECIPES) == set(get_args(Recipe))
