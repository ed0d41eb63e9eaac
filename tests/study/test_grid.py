"""Grids whose levels bring settings with them, vary together, exist under conditions, or are left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StudyError
from harness.models.study_models import check_models, weights_digests
from harness.study import Study
from harness.study.identity import Digests, study_id
from harness.study.plan import Scenario, stage_scenarios
from harness.study.rehearsal import rehearsal
from harness.training.preflight import study_networks

LoadText = Callable[..., Study]
COUPLED = """\
study: coupled
data: {source: phantom, image_size: 64}
base: {backbone: small-cnn, weights: none, epochs: 2}
stages:
  - name: backbones
    grid:
      backbone:
        - {name: test_vit, image_size: 160, batch_size: 12}
        - {name: test_resnet, trainable: head}
        - {name: test_resnet, trainable: last-1, learning_rate: 1}
        - small-cnn
      head: [dropout-gap, batchnorm-gap]
      dropout: [0.2, 0.4]
    when: {dropout: {head: [dropout-gap]}}
    exclude:
      - {backbone: test_vit, head: batchnorm-gap}
      - {backbone: test_resnet, trainable: last-1, dropout: [0.2, 0.4]}
    select: {metric: val/accuracy}
  - name: rates
    zip: {weight_decay: [0, 1], batch_size: [8, 16]}
"""

BOUND = """\
study: bound
data: {source: phantom, image_size: 64}
base: {backbone: test_vit, weights: none}
stages:
  - name: backbones
    grid: {backbone: [{name: test_vit, weights: a.safetensors}, {name: test_resnet, weights: b.safetensors}]}
    select: {metric: val/accuracy}
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
"""


def digests(study: Study) -> Digests:
    return Digests("images", {(0, 0): "a", (0, 1): "b"}, weights_digests(study))


def scenarios(study: Study, stage: int = 0, winner: Scenario | None = None) -> list[Scenario]:
    return stage_scenarios(study, study.stages[stage], winner, digests(study))


def test_a_level_brings_its_settings_and_conditions_and_exclusions_leave_points_out(study_of: LoadText) -> None:
    study = study_of(COUPLED)
    found = [(s.settings.backbone, s.settings.trainable, s.settings.head, s.settings.dropout) for s in scenarios(study)]
    assert found == [
        ("test_vit", "all", "dropout-gap", 0.2), ("test_vit", "all", "dropout-gap", 0.4),
        ("test_resnet", "head", "dropout-gap", 0.2), ("test_resnet", "head", "dropout-gap", 0.4),
        ("test_resnet", "head", "batchnorm-gap", 0.5), ("test_resnet", "last-1", "batchnorm-gap", 0.5),
        ("small-cnn", "all", "dropout-gap", 0.2), ("small-cnn", "all", "dropout-gap", 0.4),
        ("small-cnn", "all", "batchnorm-gap", 0.5),
    ]  # fmt: skip
    assert study.stages[0].size == len(found)
    assert [(s.settings.image_size, s.settings.batch_size) for s in scenarios(study)][1:3] == [(160, 12), (64, 64)]


def test_names_are_short_and_tell_levels_of_one_name_apart(study_of: LoadText) -> None:
    study = study_of(COUPLED, "stages.1.zip={weight_decay: [0]}")
    names = [s.name.removesuffix(" + weight_decay=0") for s in scenarios(study)]
    assert names[0] == "test_vit + dropout-gap + dropout=0.2", "what it brings is not in the name"
    assert names[4:6] == [
        "test_resnet (trainable=head, learning_rate=0.0001) + batchnorm-gap",
        "test_resnet (trainable=last-1, learning_rate=1) + batchnorm-gap",
    ]
    assert len(set(names)) == len(names)


def test_a_weights_file_is_named_without_its_folder_unless_another_one_has_its_name(
    study_of: LoadText, files: Path
) -> None:
    (files / "w").mkdir()
    (files / "w" / "b.safetensors").write_bytes(b"w")
    for other, names in (("a", ("b", "a")), ("b", ("w/b", "b"))):
        levels = f"weights: w/b.safetensors}}, {{name: test_vit, weights: {other}.safetensors"
        study = study_of(BOUND.replace("weights: a.safetensors}, {name: test_resnet, weights: b.safetensors", levels))
        found = [s.name.split(" + ")[0] for s in scenarios(study)]
        assert found == [f"test_vit (weights={name}.safetensors)" for name in names]


def test_the_level_of_the_base_is_told_from_one_that_brings_something(study_of: LoadText) -> None:
    both = study_of(COUPLED.replace("small-cnn\n", "{name: small-cnn, epochs: 3}\n"), "stages.0.select=null")
    assert {s.name.split(" + ")[0] for s in scenarios(both, 1)} == {"small-cnn (epochs=2)"}
    assert "small-cnn (epochs=3)" in {s.name.split(" + ")[0] for s in scenarios(both)}


def test_factors_of_zip_vary_together_level_by_level(study_of: LoadText) -> None:
    study = study_of(COUPLED, "stages.1.grid={dropout: [0, 0.5]}")
    found = [(s.settings.dropout, s.settings.weight_decay, s.settings.batch_size) for s in scenarios(study, 1)]
    assert found == [(0, 0, 8), (0, 1, 16), (0.5, 0, 8), (0.5, 1, 16)]
    assert study.stages[1].size == 4
    assert study.factors == ["backbone", "head", "dropout", "weight_decay", "batch_size"]


def test_what_a_level_brought_goes_along_with_the_winner_until_another_level_takes_its_place(
    study_of: LoadText,
) -> None:
    last = "stages.1.grid={backbone: [small-cnn, test_vit]}"
    study = study_of(COUPLED, "stages.1.zip={weight_decay: [0, 1]}")
    winner = scenarios(study)[0]
    handed = scenarios(study, 1, winner)
    assert [(s.settings.backbone, s.settings.image_size, s.settings.batch_size) for s in handed] == [
        ("test_vit", 160, 12)
    ] * 2
    assert handed[0].id == winner.id and handed[0].name == winner.name
    again = scenarios(study_of(COUPLED, "stages.1.zip={}", last), 1, handed[1])
    assert [(s.settings.image_size, s.settings.batch_size, s.settings.weight_decay) for s in again] == [
        (64, 64, 1), (64, 64, 1)
    ], "the size was that of the level, the weight decay was selected"  # fmt: skip
    chosen = scenarios(study_of(COUPLED, "stages.1.zip={batch_size: [99]}"), 1, winner)[0]
    kept = scenarios(study_of(COUPLED, "stages.1.zip={}", last), 1, chosen)[0].settings
    assert (kept.image_size, kept.batch_size) == (64, 99), "a stage chose the batch size since"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.grid.backbone.0={image_size: 160}", r"backbone\[0\]: a level that brings settings .* needs `name`"),
        ("stages.0.grid.backbone.0.image_sise=160", r"backbone\[0\]\.image_sise: unknown setting .* mean image_size"),
        ("stages.0.grid.backbone.0.image_size=7", r"backbone\[0\]\.image_size: 7 is given; allowed: a whole number"),
        ("stages.0.grid.backbone.0.image_size='8'", r"backbone\[0\]\.image_size: '8' is given; allowed: a whole"),
        ("stages.0.grid.backbone.0.name=5", r"backbone\[0\]\.name: 5 is given; input should be a valid string"),
        ("stages.0.grid.backbone.0.backbone=x", r"backbone\[0\]\.backbone: `name` is the backbone of this level"),
        ("stages.0.grid.backbone.0.head=x", r"backbone\[0\]\.head: head is a factor of this stage, too; keep one"),
        ("stages.0.grid.backbone.3={name: small-cnn}", None),
        ("stages.0.grid.backbone.2.learning_rate=null", r"backbone\[2\]\.learning_rate: null is given"),
        ("stages.0.grid.head.1={name: batchnorm-gap, batch_size: 9}", r"head\[1\]\.batch_size: levels of backbone bri"),
        ("stages.0.grid.backbone=[{name: a, epochs: 3}, {epochs: 3, name: a}]", r"backbone\[1\]: a stands in this lis"),
        ("stages.0.zip={epochs: [1, 2], seed: [1, 2]}", r"zip\.seed: unknown factor 'seed'"),
        ("stages.0.zip={epochs: [1, 2], batch_size: [9]}", r"zip\.batch_size: 1 level, and epochs has 2; factors of"),
        ("stages.0.zip={head: [dropout-gap]}", r"zip\.head: this is a factor of `grid`, too; keep one"),
        ("stages.0.when={epochs: {head: [dropout-gap]}}", r"when\.epochs: unknown factor of this stage 'epochs'; allo"),
        ("stages.0.when={dropout: {epochs: [2]}}", r"when\.dropout\.epochs: epochs is not in the factors of this sta"),
        ("stages.0.when={dropout: {head: [dropout]}}", r"when\.dropout\.head: head is never dropout, so dropout would"),
        ("stages.0.when={dropout: {head: [dropout-gap]}, head: {dropout: [0.2]}}", r"when: the conditions go in a cir"),
        ("stages.0.exclude=[{backbone: test_vi}]", r"exclude\[0\]\.backbone: backbone is never test_vi in this stage"),
        ("stages.0.exclude=[{epochs: 2}]", r"exclude\[0\]\.epochs: unknown factor of this stage 'epochs'; allowed: b"),
        ("stages.0.exclude=[{head: batchnorm-gap, dropout: 0.2}]", r"exclude\[0\]: no scenario of the stage has head"),
        ("stages.0.exclude=[{head: [dropout-gap, batchnorm-gap]}]", r"exclude: this leaves no scenario of the stage"),
        ("stages.0.exclude=[{}]", r"exclude\[0\]: .* least number of entries is 1"),
    ],
)  # fmt: skip
def test_what_a_grid_cannot_be_is_refused_in_one_line(study_of: LoadText, override: str, message: str | None) -> None:
    if message is None:
        assert study_of(COUPLED, override).stages[0].grid["backbone"][3] == "small-cnn"
        return
    with pytest.raises(StudyError, match=rf"^--set .*: stages\[0\]\.(grid\.)?{message}") as caught:
        study_of(COUPLED, override)
    assert "\n" not in str(caught.value)


def test_an_error_in_a_level_names_its_line(study_of: LoadText) -> None:
    with pytest.raises(StudyError, match=r"study\.yaml:9: stages\[0\]\.grid\.backbone\[1\]\.trainable: 'heads' is giv"):
        study_of(COUPLED.replace("trainable: head}", "trainable: heads}"))
    with pytest.raises(StudyError, match=r"study\.yaml:6: stages\[0\]\.grid\.backbone\[1\]\.head: unknown head 'x'"):
        check_models(study_of(BOUND.replace("weights: b.safetensors", "head: x"), "stages.1.grid={}"))


def test_the_networks_of_a_plan_are_those_that_are_met(study_of: LoadText) -> None:
    study = study_of(COUPLED)
    assert {(n.backbone, n.trainable, n.image_size) for n in study_networks(study)} == {
        ("test_vit", "all", 160), ("test_resnet", "head", 64), ("test_resnet", "last-1", 64), ("small-cnn", "all", 64)
    }  # fmt: skip


def test_fewer_epochs_of_a_level_are_a_rehearsal(study_of: LoadText) -> None:
    text = COUPLED.replace("image_size: 160,", "image_size: 160, epochs: 9,")
    assert rehearsal(study_of(text)) == []
    assert rehearsal(study_of(text, "stages.0.grid.backbone.0.epochs=1")) == [
        "stages[0].grid.backbone[0].epochs 1 of 9"
    ]


def test_a_conflict_that_only_an_excluded_point_would_have_is_none(study_of: LoadText) -> None:
    grid = "stages.0.grid={backbone: [small-cnn], trainable: [all, head], augment: [none, flip]}"
    plain = (grid, "stages.0.when={}", "stages.0.exclude=[]")
    with pytest.raises(StudyError, match="augment flip with trainable head"):
        study_of(COUPLED, *plain)
    study_of(COUPLED, *plain, "stages.0.exclude=[{trainable: head, augment: flip}]")
    with pytest.raises(StudyError, match="augment flip with trainable head"):
        study_of(COUPLED, "stages.0.grid.backbone.1.augment=flip")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    return tmp_path


def test_weights_are_bound_by_a_level_and_count_by_their_content(study_of: LoadText, files: Path) -> None:
    study = study_of(BOUND)
    check_models(study)
    assert {(n.backbone, Path(n.weights).name) for n in study_networks(study)} == {
        ("test_vit", "a.safetensors"), ("test_resnet", "b.safetensors")
    }  # fmt: skip
    assert set(weights_digests(study)) == {
        ("test_vit", "none"), ("test_vit", str(files / "a.safetensors")), ("test_resnet", str(files / "b.safetensors")),
    }  # fmt: skip
    assert [s.name for s in scenarios(study)] == ["test_vit + dropout-gap", "test_resnet + dropout-gap"]
    before, ids = study_id(study, digests(study)), [s.id for s in scenarios(study)]
    (files / "c.safetensors").write_bytes(b"a")
    moved = study_of(BOUND.replace("a.safetensors", "c.safetensors"))
    assert (study_id(moved, digests(moved)), [s.id for s in scenarios(moved)]) == (before, ids), "the same content"
    swapped = study_of(BOUND.replace("a.s", "x.s").replace("b.s", "a.s").replace("x.s", "b.s"))
    assert study_id(swapped, digests(swapped)) != before


@pytest.mark.parametrize(
    "overrides",
    [
        ("base.weights=a.safetensors", "stages.0.grid.backbone=[test_vit, test_resnet]"),
        ("stages.0.grid={backbone: [test_vit, test_resnet], weights: [none, a.safetensors]}",),
        ("stages.0.grid={backbone: [test_vit, test_resnet]}", "stages.1.grid={weights: [a.safetensors]}"),
        ("stages.0.grid={}", "base.weights=a.safetensors",
         "search={space: {backbone: {choices: [test_vit, test_resnet]}}, trials: 2}"),
    ],
)  # fmt: skip
def test_one_weights_file_for_several_networks_is_refused_with_what_to_write(
    study_of: LoadText, files: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    words = (
        r"weights.*: a\.safetensors is the file of one network, .* meet 2: test_vit, test_resnet; .*\{name: test_vit, w"
    )
    with pytest.raises(StudyError, match=words):
        check_models(study_of(BOUND, *overrides))


def test_one_weights_file_may_serve_several_tags_of_one_network_and_pairs_of_a_zip(
    study_of: LoadText, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    grid: Any = "stages.0.grid={backbone: [resnet18.a1_in1k, resnet18.tv_in1k, small-cnn], weights: [a.safetensors]}"
    check_models(study_of(BOUND, grid))
    pairs = "stages.0.zip={backbone: [test_vit, test_resnet], weights: [a.safetensors, b.safetensors]}"
    check_models(study_of(BOUND, "stages.0.grid={}", pairs))


def test_a_winner_hands_on_no_pool_that_was_only_natural_for_its_head(study_of: LoadText) -> None:
    study = study_of(COUPLED, "stages.1.zip={}", "stages.1.grid={head: [linear]}")
    assert scenarios(study, 1, scenarios(study)[0])[0].settings.pooling == "native"


@pytest.mark.parametrize(
    ("factor", "first"), [("head", "logistic"), ("backbone", "small-cnn"), ("backbone", "majority")]
)
def test_a_winner_hands_on_what_was_given_for_it_and_not_what_it_leaves_unused(
    study_of: LoadText, factor: str, first: str
) -> None:
    """A probe has no epochs, and a built-in model no weights: those of the study are of the next stage's heads."""
    base = "base={backbone: test_resnet, weights: none, trainable: head, head: linear, epochs: 7, learning_rate: 0.02}"
    stages = f"stages=[{{name: a, grid: {{{factor}: [{first}]}}, select: {{metric: val/loss}}}}, {{name: b, grid: {{"
    again = {"head": "head: [linear, mlp]", "backbone": "backbone: [test_resnet]"}[factor]
    study = study_of(COUPLED, base, f"{stages}{again}}}}}]", "test=null")
    for found in scenarios(study, 1, scenarios(study)[0]):
        assert (found.settings.epochs, found.settings.learning_rate, found.settings.trainable) == (7, 0.02, "head")
        assert found.settings.head != "none"
