import re
import shutil
from pathlib import Path

import pytest

from harness.errors import redact
from harness.study import provenance
from harness.study.provenance import DECISIVE_FILES, code_digest, decisive_code, environment, versions


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("search s.yaml --storage postgresql://ann:word@host:5432/name", "postgresql://ann:***@host:5432/name"),
        ("postgresql+psycopg://ann:a@b:c/d@host/name --trials 3", "postgresql+psycopg://ann:***@host/name --trials 3"),
        ("postgresql://host/name?user=ann&password=word&sslmode=on", "host/name?user=ann&password=***&sslmode=on"),
        ("cannot read http:/ann:word@host/x", "http:/ann:***@host/x"),
        ("postgresql://ann@host/name", "postgresql://ann@host/name"),
        ("models:/name@champion", "models:/name@champion"),
        ("run s.yaml --set data.path=http://host:80/a", "run s.yaml --set data.path=http://host:80/a"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert redact(text).endswith(shown)
    assert "word@" not in redact(text)


def test_the_command_line_is_kept_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/harness", "search", "s.yaml", "--storage", "postgresql://ann:word@host/name"])
    assert "command harness search s.yaml --storage postgresql://ann:***@host/name\n" in environment()


IN_THE_IDS = "what it gives is hashed into the id of every fit"
RECOMPUTED = "computed from stored results for every report"
WORDS = "words, findings and checks"
UNDECISIVE = {  # the files of the rooms with decisive code that decide no number of a fit, and why
    "data/__init__.py": WORDS, "data/audit.py": WORDS, "data/checks.py": WORDS, "data/data_lines.py": WORDS,
    "data/aligned.py": IN_THE_IDS, "data/aligned_checks.py": WORDS,
    "data/duplicate_checks.py": WORDS, "data/duplicates.py": IN_THE_IDS, "data/orientations.py": IN_THE_IDS,
    "data/finding.py": WORDS, "data/grays.py": WORDS, "data/groupings.py": WORDS,
    "data/guesses.py": WORDS, "data/headers.py": WORDS,
    "data/dicom_tags.py": IN_THE_IDS, "data/digits.py": IN_THE_IDS,
    "data/inputs.py": WORDS, "data/left_out.py": WORDS, "data/moved_images.py": WORDS, "data/patient_checks.py": WORDS,
    "data/patient_counts.py": WORDS, "data/pictures.py": WORDS, "data/record.py": WORDS, "data/separation.py": WORDS,
    "data/backbone_sources.py": WORDS,
    "data/shift.py": WORDS, "data/survey.py": WORDS, "data/variants.py": WORDS,
    "data/cached_inputs.py": IN_THE_IDS, "data/entries.py": IN_THE_IDS, "data/folder.py": IN_THE_IDS,
    "data/folder_layout.py": IN_THE_IDS, "data/held_out.py": IN_THE_IDS, "data/hashes.py": IN_THE_IDS,
    "data/listing.py": IN_THE_IDS, "data/made_images.py": IN_THE_IDS,
    "data/table.py": IN_THE_IDS, "data/table_file.py": IN_THE_IDS,
    "data/metadata.py": WORDS, "data/table_guesses.py": WORDS,
    "data/nested_folds.py": IN_THE_IDS, "data/npz.py": IN_THE_IDS,
    "data/patients.py": IN_THE_IDS,
    "data/subgroups.py": RECOMPUTED, "data/set_images.py": IN_THE_IDS, "data/set_checks.py": WORDS,
    "data/source_images.py": IN_THE_IDS,
    "data/confounders.py": WORDS, "data/units.py": RECOMPUTED,
    "data/phantom.py": IN_THE_IDS, "data/sources.py": IN_THE_IDS,
    "models/__init__.py": WORDS, "models/coverage.py": WORDS, "models/examine.py": WORDS, "models/flops.py": WORDS,
    "models/hub.py": WORDS, "models/hub_files.py": IN_THE_IDS, "models/load_metrics.py": RECOMPUTED,
    "models/try_head.py": WORDS, "models/network_check.py": WORDS, "models/study_models.py": IN_THE_IDS,
    "models/weight_source.py": WORDS, "study/origin.py": IN_THE_IDS, "study/own_file.py": IN_THE_IDS,
    "stats/__init__.py": RECOMPUTED, "stats/areas.py": RECOMPUTED, "stats/clusters.py": RECOMPUTED,
    "stats/arrays.py": RECOMPUTED, "stats/label_quality.py": RECOMPUTED, "data/corrections.py": IN_THE_IDS,
    "data/alike.py": IN_THE_IDS, "data/drawn_apart.py": IN_THE_IDS,
    "stats/own_metrics.py": RECOMPUTED,
    "stats/bootstrap.py": RECOMPUTED, "stats/calibration.py": RECOMPUTED, "stats/paired.py": RECOMPUTED,
    "stats/fitted_models.py": RECOMPUTED, "stats/practical.py": RECOMPUTED,
    "stats/temperature.py": RECOMPUTED, "stats/smooth_calibration.py": RECOMPUTED,
    "stats/area_within_folds.py": RECOMPUTED, "stats/best_of.py": RECOMPUTED, "stats/weighted_metrics.py": RECOMPUTED,
    "stats/permutation.py": RECOMPUTED, "stats/predictive_values.py": RECOMPUTED, "stats/conformal.py": RECOMPUTED,
    "stats/ranks.py": RECOMPUTED, "stats/signed_rank.py": RECOMPUTED,
    "stats/random_effects.py": RECOMPUTED, "stats/one_more_model.py": RECOMPUTED,
    "stats/pareto.py": RECOMPUTED, "stats/power.py": RECOMPUTED, "stats/proportions.py": RECOMPUTED,
    "study/__init__.py": WORDS, "study/data_block.py": IN_THE_IDS, "study/fit_costs.py": RECOMPUTED,
    "study/history.py": WORDS,
    "study/conditions.py": IN_THE_IDS, "study/conflicts.py": WORDS, "study/recipe_conflicts.py": WORDS,
    "study/grid.py": IN_THE_IDS, "study/grid_rules.py": IN_THE_IDS, "study/recipes.py": IN_THE_IDS,
    "study/scenario_names.py": WORDS, "study/shipped.py": WORDS, "study/stage.py": IN_THE_IDS,
    "study/load.py": IN_THE_IDS, "study/messages.py": WORDS, "study/number_words.py": WORDS,
    "study/mixed.py": WORDS, "study/nested.py": IN_THE_IDS,
    "study/overrides.py": IN_THE_IDS, "study/suite_file.py": IN_THE_IDS,
    "study/paper.py": RECOMPUTED, "study/paths.py": IN_THE_IDS, "study/pixel_rules.py": IN_THE_IDS,
    "study/preprocessing.py": IN_THE_IDS,
    "study/plan.py": IN_THE_IDS,
    "study/provenance.py": WORDS, "study/rehearsal.py": WORDS, "study/schema.py": WORDS,
    "study/metric_steps.py": RECOMPUTED, "study/worst_group.py": RECOMPUTED, "study/subgroups.py": IN_THE_IDS,
    "study/operating.py": IN_THE_IDS,
    "study/search_block.py": IN_THE_IDS, "study/search_problems.py": WORDS,
    "study/set_block.py": IN_THE_IDS, "study/unit.py": RECOMPUTED,
    "study/contests.py": RECOMPUTED, "study/reader.py": RECOMPUTED, "study/scenario_state.py": RECOMPUTED,
    "study/state.py": RECOMPUTED,
    "study/fold_protocol.py": IN_THE_IDS, "study/tried.py": WORDS, "data/tried_seeds.py": WORDS,
    "study/status.py": WORDS, "study/strict_yaml.py": IN_THE_IDS,
    "study/study.py": IN_THE_IDS, "study/types.py": IN_THE_IDS,
    "training/__init__.py": WORDS, "training/allocator.py": "no arithmetic", "training/context.py": "no arithmetic",
    "training/nvidia.py": WORDS, "training/usage.py": WORDS, "training/preflight.py": WORDS,
}  # fmt: skip


def test_of_every_file_it_is_decided_whether_it_decides_numbers() -> None:
    rooms = {file.partition("/")[0] for file in DECISIVE_FILES}
    package = provenance.PACKAGE
    files = {file.relative_to(package).as_posix() for room in rooms for file in (package / room).rglob("*.py")}
    assert files == {*DECISIVE_FILES} | UNDECISIVE.keys()
    assert not {*DECISIVE_FILES} & UNDECISIVE.keys()


def test_a_byte_of_a_file_that_decides_numbers_changes_the_digest_and_of_another_one_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_digest()
    copy = shutil.copytree(provenance.PACKAGE, tmp_path / "harness")
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    found: dict[str, str] = {}
    for file in (*DECISIVE_FILES, *UNDECISIVE, "report/write.py"):
        content = (copy / file).read_bytes()
        (copy / file).write_bytes(content + b"\n")
        provenance._code_digest.cache_clear()
        found[file] = code_digest()
        (copy / file).write_bytes(content)
    assert {file for file, digest in found.items() if digest != before} == {*DECISIVE_FILES}
    assert len(set(found.values())) == len(DECISIVE_FILES) + 1


def test_the_line_that_names_the_code_names_every_file_of_it() -> None:
    named = set()
    for part in re.findall(r"harness/(\w+)/(?:\{([\w,]+)\}|(\w+))\.py", decisive_code()):
        room, several, one = part
        named |= {f"{room}/{name}.py" for name in (several or one).split(",")}
    assert named == {*DECISIVE_FILES}


def test_the_versions_are_those_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    import torch

    found = dict(part.split(" ") for part in versions().split(", "))
    assert list(found) == ["torch", "timm", "Pillow", "numpy", "scikit-learn", "imbalanced-learn"]
    assert found["torch"] == torch.__version__.partition("+")[0], "a build for GPUs is no other version"
    monkeypatch.setattr(timm, "__version__", "9.9")  # as if the package was exchanged under a running process
    assert "timm 9.9" in versions()


@pytest.mark.parametrize(
    ("program", "words"),
    [("x/harness/cli/__main__.py", "python -m harness.cli run a.yaml"), ("bin/harness", "harness run a.yaml")],
)
def test_the_recorded_command_can_be_typed(program: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program, "run", "a.yaml"])
    assert provenance._command() == words
