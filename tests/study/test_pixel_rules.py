"""The fields of `data` that change what a network sees: what they take, and which ids they change."""

from collections.abc import Callable

import pytest

from harness.errors import StudyError
from harness.study import Study, plan
from harness.study.identity import Digests, search_id, study_id
from harness.study.pixel_rules import PixelRules

LoadText = Callable[..., Study]
TEXT = """\
study: demo
data: {source: folder, path: images, image_size: 64}
base: {backbone: small-cnn}
stages: [{name: only}]
search: {sampler: grid, space: {epochs: {choices: [1, 2]}}, objective: {metric: val/accuracy}}
"""
DIGESTS = Digests("images", {(0, 0): "rows 0", (0, 1): "rows 1"}, {("small-cnn", "none"): "none"})


def ids(study: Study) -> list[str]:
    """The ids of the study, of its search, and of the jobs of its only scenario."""
    (scenario,) = plan.stage_scenarios(study, study.stages[0], None, DIGESTS)
    jobs = plan.fold_jobs(study, scenario, DIGESTS)
    return [study_id(study, DIGESTS), search_id(study, DIGESTS), *(job.id for job in jobs)]


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ("data.resize=crop", PixelRules(resize="crop")),
        ("data.window=full", PixelRules(window="full")),
        ("data.window=[-1000, 400.5]", PixelRules(window=(-1000.0, 400.5))),
        ("data.frame=2", PixelRules(frame=2)),
    ],
)
def test_other_pixels_are_other_fits(study_of: LoadText, given: str, rules: PixelRules) -> None:
    before, after = study_of(TEXT), study_of(TEXT, given)
    assert after.data.pixel_rules == rules
    assert not {*ids(before)} & {*ids(after)}
    again = Study.model_validate(after.model_dump(mode="json"))  # as the record of a study has it
    assert again.data.pixel_rules == rules
    assert ids(again) == ids(after)


def test_the_defaults_are_in_no_id(study_of: LoadText) -> None:
    written = study_of(TEXT, "data.resize=squash", "data.window=null", "data.frame=null")
    assert ids(written) == ids(study_of(TEXT)) == KNOWN


KNOWN = [
    "35a8272c54fc87ba",
    "79c724e9117dc01c",
    "e77047377ab9fa91",
    "77d7cd12fcff65d1",
]  # as before there were such fields


@pytest.mark.parametrize("number", ["[0, 4095]", "[0.0, 4095.0]"])
def test_a_whole_number_and_a_float_are_one_window(study_of: LoadText, number: str) -> None:
    study = study_of(TEXT, f"data.window={number}")
    assert ids(study) == ids(study_of(TEXT, "data.window=[0, 4095.0]"))
    assert str(study.data.pixel_rules) == "window 0 to 4095"


@pytest.mark.parametrize(
    "given", ["high", "[1]", "[1, 2, 3]", "[2, 1]", "[1, 1]", "[a, b]", "[true, 2]", "[0, .inf]", "3", "{low: 1}"]
)
def test_what_is_no_window_is_named_with_all_that_is_one(study_of: LoadText, given: str) -> None:
    with pytest.raises(StudyError, match=r"data\.window: .* is given; allowed: full, percentile, or \[low, high\]"):
        study_of(TEXT, f"data.window={given}")


def test_a_wrong_resize_is_named_with_its_line(study_of: LoadText) -> None:
    with pytest.raises(StudyError, match=r"study.yaml:2: data\.resize: pad is given; allowed: squash, crop, letterbox"):
        study_of(TEXT.replace("path:", "resize: pad, path:"))
