import re
from collections.abc import Callable
from pathlib import Path

from harness.report.numbers.comparisons import TEST
from harness.report.numbers.records import read_statistics
from harness.store import Store
from harness.study import Study
from harness.study.number_words import of_others
from tests.conftest import Finished
from tests.report.test_summary import summary_of
from tests.report.test_write import written


def test_the_answer_comes_first_with_its_intervals_the_leaderboard_and_a_figure(finished: Finished) -> None:
    words = summary_of(finished.run.report.read_text()).strip()
    answer, _, rest = words.partition("\n\n")
    stage = finished.run.state.stages[-1]
    assert stage.best is not None and stage.top is not None and stage.stage.select is not None
    estimates = read_statistics(finished.run.report.parent).estimates
    accuracy = next(e for e in estimates if (e.subject, e.on, e.metric) == (stage.best.name, TEST, "accuracy"))
    assert accuracy.mark and answer.endswith(f"**{accuracy.mark}.**"), "nothing is said without its mark"
    assert f"\n*{accuracy.mark}*\n\n| " in rest, "nor is the leaderboard"
    assert accuracy.interval is not None
    low, high = accuracy.interval
    assert answer.startswith(f"Selected: **{stage.best.name}**; on the test set it predicts {accuracy.value:.1%} of 24")
    assert f"(95 % interval {low:.1%} to {high:.1%})" in answer
    metric = stage.stage.select.metric
    assert f"{metric} is {stage.top.summary[f'{metric}_mean']:.3f}" in answer
    near = sum(not contest.resolved for contest in stage.contests)
    who = of_others(near, len(stage.contests))
    assert (f"{who[:1].upper()}{who[1:]} cannot be told apart" in answer) == (near > 0)
    head = re.search(r"^\| (.+) \|$", rest, re.MULTILINE)
    assert head is not None and {"roc_auc", "verdict", "selected"} <= set(head[1].split(" | "))
    assert len(re.findall(r"^\| (?!-)", rest, re.MULTILINE)) == 1 + len(stage.scenarios)
    assert "![differences to the best](differences-sampling.png)" in rest


def test_without_a_winner_there_is_no_answer(small_study: Callable[..., Study], store: Store) -> None:
    text = written(small_study(), store)
    assert "Selected:" not in text
    assert "differences-" not in text


def test_a_stage_without_another_scenario_has_no_figure_of_differences(finished: Finished) -> None:
    folder: Path = finished.run.report.parent
    of_stage = {state.stage.name: bool(state.contests) for state in finished.run.state.stages}
    assert {name: (folder / f"differences-{name}.svg").exists() for name in of_stage} == of_stage
