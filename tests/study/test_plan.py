import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.train_share import share_seed
from harness.models.study_models import weights_digests
from harness.prepare import check_names
from harness.study import Study, load_study, plan
from harness.study.identity import NUMERICS, Digests, derive_seed, numerics, study_id
from harness.study.plan import Job, Scenario, batches, fold_jobs, stage_scenarios
from harness.study.settings import ADDED_LATER, Settings, decisive

LoadText = Callable[..., Study]

STUDIES = sorted(
    file for file in (Path(__file__).parents[2] / "studies").glob("*.yaml") if not file.stem.startswith("suite-")
)
TEXT = """\
study: demo
data: {source: folder, path: images, image_size: 64}
base: {backbone: resnet18, weights: /a.safetensors, epochs: 2}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap], epochs: [2, 3, 4]}
    select: {metric: val/accuracy}
  - name: sampling
    grid: {oversampling: [none, random]}
test: {stages: [heads]}
"""
OTHER_SETTINGS: dict[str, object] = {
    "backbone": "resnet34", "weights": "/b.safetensors", "trainable": "head", "head": "batchnorm-gap", "dropout": 0.25,
    "oversampling": "random", "oversampling_ratio": 0.5, "train_share": 0.5, "epochs": 9, "batch_size": 8,
    "optimizer": "sgd",
    "learning_rate": 0.5, "weight_decay": 0.5, "precision": "bf16", "select_epoch": "best", "image_size": 32,
    "augment": "flip", "loss": "own:Loss", "pool": "avg", "preprocessing": "bicubic-center-0.9",
    "schedule": "cosine", "warmup": 0.5, "label_smoothing": 0.1, "clip": 1.0, "ema": 0.9, "layer_decay": 0.75,
    "drop_path": 0.1, "mixup": 0.2, "cutmix": 1.0, "undersampling": "random", "prior_correction": "on",
    "head_epochs": 1, "stop_patience": 3, "stop_inner": 0.2, "stop_metric": "roc_auc",
    "tta": "flip", "snapshots": 2, "recipe": "modern",
}  # fmt: skip


def digests(**changes: Any) -> Digests:
    """What comes from outside of TEXT: 2 repeats of 2 folds, the files a and b with different weights."""
    names = [f"resnet{depth}" for depth in (18, 34)]
    given: dict[str, Any] = {
        "manifest": "images",
        "folds": {(repeat, fold): f"rows {repeat} {fold}" for repeat in (1, 0) for fold in (1, 0)},
        "weights": {(name, f"/{file}.safetensors"): f"sha256:{file}" for name in names for file in "ab"},
    }
    return Digests(**given | changes)


def scenarios(study: Study, stage: int = 0, given: Digests | None = None) -> list[Scenario]:
    return stage_scenarios(study, study.stages[stage], None, given or digests())


def jobs(study: Study, given: Digests | None = None) -> list[Job]:
    """The jobs of the first scenario."""
    given = given or digests()
    return fold_jobs(study, scenarios(study, 0, given)[0], given)


def ids(found: list[Job]) -> list[str]:
    return [job.id for job in found]


def test_scenarios_stand_in_the_order_of_the_grid_the_last_factor_fastest(study_of: LoadText) -> None:
    found = scenarios(study_of(TEXT))
    assert [(s.settings.head, s.settings.epochs) for s in found] == [
        ("dropout-gap", 2), ("dropout-gap", 3), ("dropout-gap", 4),
        ("batchnorm-gap", 2), ("batchnorm-gap", 3), ("batchnorm-gap", 4),
    ]  # fmt: skip
    assert len({s.id for s in found}) == 6


def test_a_scenario_is_named_after_the_levels_of_all_factors(study_of: LoadText) -> None:
    study = study_of(TEXT)
    assert scenarios(study)[1].name == "dropout-gap + epochs=3 + none"
    assert scenarios(study, 1)[1].name == "dropout-gap + epochs=2 + random"
    assert scenarios(study_of(TEXT, "stages=[{name: only}]", "test=null"))[0].name == "demo"


@pytest.mark.parametrize(
    ("key", "levels", "names"),
    [
        ("dropout", "[0.5, 0.500001, 0]", ["dropout=0.5", "dropout=0.500001", "dropout=0"]),
        ("learning_rate", "[1.0e-5, 1.00001e-5]", ["learning_rate=1e-05", "learning_rate=1.00001e-05"]),
        ("weights", "[x/a.safetensors, y/a.safetensors]", ["x/a.safetensors", "y/a.safetensors"]),
        ("head", "['p + q.py:N', 'q.py:N']", ['"p + q.py:N"', "q.py:N"]),
    ],
)
def test_levels_that_differ_give_names_that_differ(study_of: LoadText, key: str, levels: str, names: list[str]) -> None:
    study = study_of(TEXT, f"stages=[{{name: only, grid: {{{key}: {levels}}}}}]", "test=null")
    files = {("resnet18", str(Path(folder, "a.safetensors").absolute())): f"sha256:{folder}" for folder in "xy"}
    given = digests(weights={**digests().weights, **files})
    assert [scenario.name for scenario in scenarios(study, given=given)] == names


def test_a_stage_starts_from_the_settings_it_inherits(study_of: LoadText) -> None:
    study = study_of(TEXT)
    winner = scenarios(study)[5]
    found = stage_scenarios(study, study.stages[1], winner, digests())
    assert [(s.settings.head, s.settings.epochs, s.settings.oversampling) for s in found] == [
        ("batchnorm-gap", 4, "none"),
        ("batchnorm-gap", 4, "random"),
    ]


def test_the_image_size_is_that_of_the_data_unless_a_scenario_has_its_own(study_of: LoadText) -> None:
    study = study_of(TEXT, "stages.1.grid={image_size: [null, 32]}")
    assert [s.settings.image_size for s in scenarios(study, 1)] == [64, 32]
    assert scenarios(study, 1)[0].id == scenarios(study)[0].id


def test_the_same_settings_are_one_scenario_in_every_stage_and_study(study_of: LoadText) -> None:
    study = study_of(TEXT)
    first = scenarios(study)[0]
    assert scenarios(study, 1)[0].id == first.id
    written_out = study_of(TEXT, "study=other", "base.head=dropout-gap", "stages=[{name: only}]", "test=null")
    assert scenarios(written_out)[0].id == first.id
    assert ids(jobs(written_out)) == ids(jobs(study))


def test_a_whole_number_is_the_same_level_as_its_float(study_of: LoadText) -> None:
    study = study_of(TEXT, "base.weight_decay=0", "stages.1.grid={weight_decay: [0, 1]}")
    assert scenarios(study, 1)[0].id == scenarios(study)[0].id


def test_other_settings_are_another_scenario(study_of: LoadText) -> None:
    assert set(OTHER_SETTINGS) == set(Settings.model_fields)
    study = study_of(TEXT)
    given = {key: [f"base.{key}={value}"] for key, value in OTHER_SETTINGS.items()}
    for key in ("stop_inner", "stop_metric"):  # decide nothing alone
        assert scenarios(study_of(TEXT, *given[key]), 1)[0].id == scenarios(study, 1)[0].id
        given[key].append("base.stop_patience=3")
    found = {key: scenarios(study_of(TEXT, *overrides), 1)[0].id for key, overrides in given.items()}
    del found["oversampling"]  # the stage varies it itself
    assert len({scenarios(study, 1)[0].id, *found.values()}) == len(OTHER_SETTINGS)
    assert scenarios(study, 1)[1].id != scenarios(study, 1)[0].id


def test_a_field_that_was_added_later_leaves_the_ids_of_older_results_as_they_are(study_of: LoadText) -> None:
    study = study_of(TEXT)
    assert scenarios(study)[0].id == "1ab62133b807425d"  # as given before the field `augment` was there
    assert study_id(study_of(TEXT, "base.augment=none"), digests()) == study_id(study, digests())
    assert study_id(study_of(TEXT, "base.augment=flip"), digests()) != study_id(study, digests())


def test_what_only_asks_a_network_leaves_its_seeds_and_the_ids_of_others_as_they_are(study_of: LoadText) -> None:
    given, plain = digests(), jobs(study_of(TEXT))
    assert plain[0].training == plain[0].id == "9673b6ba060aa15e"  # as given before the fields were there
    assert plain[0].seed == 433415340
    asked = study_of(TEXT, "stages.0.grid={tta: [none, flip, crops], snapshots: [1, 2]}")
    found = [job for scenario in scenarios(asked) for job in fold_jobs(asked, scenario, given)]
    assert len({*ids(found)}) == len(found) == 6 * 4
    assert [job.id for job in found[:4]] == ids(plain)
    for number, job in enumerate(found):
        same = plain[number % 4]
        assert (job.training, job.seed, job.fold, job.repeat) == (same.id, same.seed, same.fold, same.repeat)
    assert [[other.training for other in batch.jobs] for batch in batches(found)] == [[job.id] * 6 for job in plain]


def test_where_a_search_asks_for_more_networks_than_there_are_all_are_averaged(study_of: LoadText) -> None:
    base = study_of(TEXT).base
    for changes, wanted in (({"snapshots": 5}, 2), ({"snapshots": 2, "recipe": "modern", "select_epoch": "best"}, 1)):
        assert base.model_copy(update=changes).resolved(64).snapshots == wanted


def test_the_cost_of_a_selection_leaves_older_ids_as_they_are(study_of: LoadText) -> None:
    first = [study_of(TEXT, f"stages.0.select={select}") for select in (
        "{rule: cheapest-equivalent}", "{rule: cheapest-equivalent, cost: parameters}",
        "{rule: cheapest-equivalent, cost: flops}",
    )]  # fmt: skip
    older, same, other = (study_id(study, digests()) for study in first)
    assert older == same == "724a9c30309153b9"  # as before the field `cost` was there
    assert other != older


def test_the_natural_pool_of_a_head_is_the_same_written_or_not(study_of: LoadText) -> None:
    """And so it is in no id: that of heads that read maps is from before there was another one."""
    written = study_of(TEXT, "base.pool=map")
    assert ids(jobs(written)) == ids(jobs(study_of(TEXT)))
    linear = "stages=[{name: only, grid: {head: [linear]}}]"
    alone = [
        scenarios(study_of(TEXT, linear, "test=null", *more))[0]
        for more in ((), ("base.pool=native",), ("base.pool=avg",))
    ]
    assert alone[0].settings.pool == "native"
    assert alone[0].id == alone[1].id != alone[2].id


def test_weights_count_by_their_content_not_by_their_path(study_of: LoadText) -> None:
    before, after = study_of(TEXT), study_of(TEXT, "base.weights=/b.safetensors")
    assert ids(jobs(after)) != ids(jobs(before))
    same = digests(weights={("resnet18", "/a.safetensors"): "sha256:a", ("resnet18", "/b.safetensors"): "sha256:a"})
    assert [s.id for s in scenarios(after, 0, same)] == [s.id for s in scenarios(before, 0, same)]
    assert ids(jobs(after, same)) == ids(jobs(before, same))
    assert study_id(after, same) == study_id(before, same)


def test_every_fold_of_every_repeat_is_a_job_in_order(study_of: LoadText) -> None:
    found = jobs(study_of(TEXT))
    assert [(job.repeat, job.fold, job.evaluate) for job in found] == [
        (0, 0, "val"), (0, 1, "val"), (1, 0, "val"), (1, 1, "val"),
    ]  # fmt: skip
    assert [job.name for job in found][2:] == ["repeat 1, fold 0", "repeat 1, fold 1"]
    assert len(set(ids(found))) == 4


@pytest.mark.parametrize(
    "override", ["study=other", "description=text", "data.path=elsewhere", "folds.k=5", "test=null"]
)
def test_a_job_s_id_is_not_touched_by_what_leaves_the_numbers_as_they_are(study_of: LoadText, override: str) -> None:
    assert ids(jobs(study_of(TEXT, override))) == ids(jobs(study_of(TEXT)))


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "base.batch_size=8",
        "base.oversampling_ratio=0.5",
        "base.train_share=0.5",
        "base.weights=/b.safetensors",
    ],
)
def test_what_decides_the_numbers_gives_every_job_another_id(study_of: LoadText, override: str) -> None:
    assert not set(ids(jobs(study_of(TEXT, override)))) & set(ids(jobs(study_of(TEXT))))


def test_a_field_added_later_leaves_older_ids_as_they_were_at_its_default(study_of: LoadText) -> None:
    study = study_of(TEXT)
    values = study.base.model_dump()
    assert set(values) - set(decisive(values)) == {*ADDED_LATER, "recipe"}
    assert "recipe" not in decisive(values | {"recipe": "modern"}), "it is written out"
    assert "oversampling_ratio" in decisive(values | {"oversampling_ratio": 0.5})


def test_other_images_give_every_job_another_id(study_of: LoadText) -> None:
    study = study_of(TEXT)
    assert not set(ids(jobs(study, digests(manifest="others")))) & set(ids(jobs(study)))


def test_another_fold_gives_its_own_job_another_id_and_no_other(study_of: LoadText) -> None:
    study, given = study_of(TEXT), digests()
    changed = digests(folds={**given.folds, (0, 1): "other rows"})
    assert [a == b for a, b in zip(ids(jobs(study)), ids(jobs(study, changed)), strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    assert changed.all_folds != given.all_folds
    assert digests(folds=dict(sorted(given.folds.items()))).all_folds == given.all_folds


def test_another_numerics_version_gives_every_job_another_id(
    study_of: LoadText, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(TEXT)
    before = ids(jobs(study))
    monkeypatch.setattr("harness.study.identity.NUMERICS", NUMERICS + 1)
    assert not set(ids(jobs(study))) & set(before)


def test_heads_that_are_solved_in_another_way_have_other_ids_and_no_others(study_of: LoadText) -> None:
    heads = ("knn", "linear", "logistic", "svm")
    found = {head: numerics(study_of(TEXT, f"base.head={head}").base) for head in heads}
    assert found == {"knn": 4, "linear": 4, "logistic": 5, "svm": 5}


def test_seeds_come_from_the_coordinates_of_a_fit_not_from_its_turn(study_of: LoadText) -> None:
    study = study_of(TEXT)
    turned = study_of(TEXT, "stages.0.grid={epochs: [4, 3, 2], head: [batchnorm-gap, dropout-gap]}")
    seeds = [
        {
            (job.scenario.id, job.repeat, job.fold): job.seed
            for s in scenarios(one)
            for job in fold_jobs(one, s, digests())
        }
        for one in (study, turned)
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == 6 * 4
    assert all(seed == derive_seed(0, *coordinates) for coordinates, seed in seeds[0].items())


def test_another_study_seed_gives_other_seeds(study_of: LoadText) -> None:
    before, after = jobs(study_of(TEXT)), jobs(study_of(TEXT, "seed=1"))
    assert not {job.seed for job in before} & {job.seed for job in after}


def test_a_seed_is_fixed_for_good_and_fits_31_bits() -> None:
    assert derive_seed(0, "scenario", 0, None) == derive_seed(0, "scenario", 0, None)
    found = {derive_seed(0, name, number) for name in "abcdefghij" for number in range(100)}
    assert len(found) == 1000
    assert all(0 <= seed < 2**31 for seed in found)
    assert len({derive_seed(1, 2), derive_seed(12), derive_seed("1", 2), derive_seed(2, 1), derive_seed(1, None)}) == 5


def test_a_test_is_one_refit_on_all_training_images(study_of: LoadText) -> None:
    study = study_of(TEXT)
    (job,) = plan.test_jobs(study, scenarios(study)[0], digests())
    assert (job.fold, job.evaluate, job.name) == (None, "test", "refit on all training images")
    assert job.id not in ids(jobs(study))
    other_folds = digests(folds={(0, 0): "x"})
    assert plan.test_jobs(study, scenarios(study)[0], other_folds)[0].id == job.id


def test_further_refits_differ_in_their_seeds_and_leave_the_first_as_it_is(study_of: LoadText) -> None:
    one, three = study_of(TEXT), study_of(TEXT, "test.refits=3")
    scenario = scenarios(one)[0]
    (first,) = plan.test_jobs(three, scenario, digests())
    assert first == plan.test_jobs(one, scenario, digests())[0]
    assert plan.further_refits(one, scenario, digests()) == []
    further = plan.further_refits(three, scenario, digests())
    assert [job.name for job in further] == [f"refit {number} on all training images" for number in (2, 3)]
    assert [(job.fold, job.rows, job.evaluate) for job in further] == [(None, None, "test")] * 2
    assert len({job.id for job in (first, *further)}) == len({job.seed for job in (first, *further)}) == 3
    assert {share_seed(three.seed, job) for job in (first, *further)} == {share_seed(one.seed, first)}


def test_only_several_refits_are_in_the_id_of_a_study(study_of: LoadText) -> None:
    plain, one, three = study_of(TEXT), study_of(TEXT, "test.refits=1"), study_of(TEXT, "test.refits=3")
    assert study_id(one, digests()) == study_id(plain, digests()) != study_id(three, digests())
    assert one.test is not None
    assert "refits" not in one.test.model_dump()


def test_a_test_by_the_fold_models_has_a_job_for_each_fold(study_of: LoadText) -> None:
    study = study_of(TEXT, "test.model=folds")
    found = plan.test_jobs(study, scenarios(study)[0], digests())
    assert [(job.repeat, job.fold, job.evaluate) for job in found] == [(r, f, "test") for r in (0, 1) for f in (0, 1)]
    assert not set(ids(found)) & set(ids(jobs(study)))
    assert [job.seed for job in found] == [job.seed for job in jobs(study)]  # the same networks


def test_jobs_on_one_frozen_backbone_are_one_batch(study_of: LoadText) -> None:
    study = study_of(TEXT, "base.trainable=head", "stages.0.grid={head: [dropout-gap, batchnorm-gap], backbone: [resnet18, resnet34]}")  # fmt: skip # noqa: E501
    every = [job for s in scenarios(study) for job in fold_jobs(study, s, digests())]
    found = batches(every)
    assert [{job.scenario.settings.backbone for job in batch.jobs} for batch in found] == [{"resnet18"}, {"resnet34"}]
    assert [len(batch.jobs) for batch in found] == [8, 8]
    assert [job.id for batch in found for job in batch.jobs] == ids(
        [job for name in ("resnet18", "resnet34") for job in every if job.scenario.settings.backbone == name]
    )
    assert len({batch.key for batch in found}) == 2


def test_jobs_that_train_their_backbone_stand_alone(study_of: LoadText) -> None:
    every = jobs(study_of(TEXT))
    assert [batch.jobs for batch in batches(every)] == [(job,) for job in every]
    assert batches([]) == []


@pytest.mark.parametrize(
    ("key", "other", "shared"),
    [
        ("backbone", "resnet34", False), ("weights", "/b.safetensors", False), ("image_size", 32, False),
        ("precision", "bf16", False), ("trainable", "all", False), ("trainable", "last-1", False),
        ("head", "batchnorm-flatten", True),
        ("epochs", 9, True), ("dropout", 0.1, True), ("oversampling", "random", True),
    ],
)  # fmt: skip
def test_features_are_shared_where_nothing_that_they_depend_on_differs(
    study_of: LoadText, key: str, other: object, shared: bool
) -> None:
    job = jobs(study_of(TEXT, "base.trainable=head"))[0]
    scenario = replace(job.scenario, settings=job.scenario.settings.model_copy(update={key: other}))
    assert len(batches([job, replace(job, id="other", scenario=scenario)])) == (1 if shared else 2)


@pytest.mark.parametrize("override", ["description=text", "data.path=elsewhere", "data.patient_scope=dataset"])
def test_a_study_s_id_is_not_touched_by_words_and_places(study_of: LoadText, override: str) -> None:
    assert study_id(study_of(TEXT, override), digests()) == study_id(study_of(TEXT), digests())


@pytest.mark.parametrize(
    "override",
    ["study=other", "seed=1", "base.epochs=9", "stages.1.name=last", "test=null", "data.limit=5", "folds.k=4"],
)
def test_another_study_has_another_id(study_of: LoadText, override: str) -> None:
    assert study_id(study_of(TEXT, override), digests()) != study_id(study_of(TEXT), digests())


@pytest.mark.parametrize(
    "changes", [{"manifest": "x"}, {"folds": {(0, 0): "x"}}, {"weights": {("resnet18", "/a.safetensors"): "sha256:x"}}]
)
def test_other_inputs_are_another_study(study_of: LoadText, changes: dict[str, Any]) -> None:
    study = study_of(TEXT)
    assert study_id(study, digests(**changes)) != study_id(study, digests())


def test_a_field_of_data_that_was_added_later_leaves_the_ids_of_older_studies_as_they_are(study_of: LoadText) -> None:
    assert study_id(study_of(TEXT), digests()) == "ac582318e5141133"


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_study_that_comes_along_has_a_plan(file: Path, tmp_path: Path) -> None:
    study = load_study(_with_weights(file, tmp_path))
    check_names(study)
    given = digests(weights=weights_digests(study))
    for stage in study.stages:
        found = stage_scenarios(study, stage, None, given)
        assert len({s.id for s in found}) == len({s.name for s in found}) == stage.size
        assert all(len(fold_jobs(study, s, given)) == 4 for s in found)


def _with_weights(file: Path, folder: Path) -> Path:
    """The study, or a copy of it next to the weights files that it names, which a user puts there."""
    names = set(re.findall(r"weights/\w+\.safetensors", file.read_text()))
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    if not names:
        return file
    shutil.copytree(file.parent / "published", folder / "published")
    return Path(shutil.copy(file, folder))


def test_studies_come_along() -> None:
    assert {"quickstart", "pneumonia", "pneumonia-frozen"} <= {file.stem for file in STUDIES}


LARGE = """\
study: large
data: {source: phantom, image_size: 32, phantom: {train: 120, test: 24}}
folds: {k: 5, repeats: 4}
base: {backbone: test_resnet, weights: none}
stages:
  - name: all
    grid:
      head: [dropout-gap, dropout-flatten, batchnorm-gap, batchnorm-flatten]
      oversampling: [none, random]
      learning_rate: [RATES]
      dropout: [0.1, 0.2, 0.3, 0.4, 0.5]
      batch_size: [8, 16, 32, 64, 128]
""".replace("RATES", ", ".join(f"{n}.0e-5" for n in range(1, 26)))


# The peak of the process itself: what `wait4` tells holds that of the process which started it, too.
PLAN = """
import atexit, re, sys
from pathlib import Path
from harness.cli import main

def tell_peak():
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)

atexit.register(tell_peak)
sys.argv = ["harness", "plan", "large.yaml", "--store", "runs"]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.long
def test_a_plan_of_100_000_fits_takes_no_more_memory_than_a_small_machine_has(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(LARGE)
    done = subprocess.run([sys.executable, "-c", PLAN], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "jobs: 100000 known, 0 done\n" in done.stdout
    assert len(done.stdout.splitlines()) < 200, "a plan is to be read"
    assert int(done.stderr.split()[-1]) < 400 * 1024  # KiB; twice what it took, most of it Python's libraries


@pytest.mark.parametrize(
    "text",
    [
        "weights: WORD, epochs: 2}\nstages: [{name: a, grid: {head: [dropout-gap]}}]",
        "epochs: 2}\nstages: [{name: a, grid: {weights: [WORD, none]}}]",
        "epochs: 2}\nstages: [{name: a, zip: {weights: [WORD, none], dropout: [0.1, 0.2]}}]",
        "epochs: 2}\nstages: [{name: a, grid: {head: [{name: dropout-gap, weights: WORD}]}}]",
    ],
)
def test_the_earlier_word_for_pretrained_weights_means_the_same_work(study_of: LoadText, text: str) -> None:
    found = []
    for word in ("imagenet", "pretrained"):
        study = study_of(
            f"study: s\ndata: {{source: phantom}}\nbase: {{backbone: resnet18, {text}".replace("WORD", word)
        )
        given = digests(weights=weights_digests(study))
        assert "imagenet:resnet18" in given.weights.values()
        found.append(
            (study_id(study, given), [job.id for s in scenarios(study, 0, given) for job in fold_jobs(study, s, given)])
        )
    assert found[0] == found[1]


def test_two_words_for_the_same_weights_are_one_scenario(study_of: LoadText) -> None:
    study = study_of(TEXT, "stages.0.grid={weights: [imagenet, pretrained]}", "stages.1.grid={}", "test=null")
    assert (
        len(
            scenarios(
                study,
                0,
                digests(
                    weights=weights_digests(
                        study_of(TEXT, "base.weights=none", "stages.0.grid={weights: [imagenet, pretrained]}")
                    )
                ),
            )
        )
        == 1
    )
