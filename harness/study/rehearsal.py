"""Where a run does less than its study file says: a rehearsal."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.study.data_block import Phantom
from harness.study.fold_protocol import Folds
from harness.study.grid import NAME
from harness.study.search_block import Confirm
from harness.study.settings import Settings
from harness.study.strict_yaml import FieldPath, dotted
from harness.study.study import FinalTest, Study

Amounts = dict[str, int]  # field -> how much of it is done
EPOCHS = "base.epochs"
TRIALS = "search.trials"
DEFAULTS: dict[FieldPath, int] = {  # of the fields that say how much is done
    ("base", "epochs"): Settings.model_fields["epochs"].default,
    ("folds", "k"): Folds().k,
    ("folds", "repeats"): Folds().repeats,
    ("test", "refits"): FinalTest.model_fields["refits"].default,
    ("data", "phantom", "train"): Phantom().train,
    ("data", "phantom", "test"): Phantom().test,
}


def rehearsal(study: Study) -> list[str]:
    """Where the run does less than the study file says, such as `base.epochs 1 of 15`; empty where it does all.

    Less: fewer epochs, folds, repeats, trials or synthetic images, by the command line. Any `data.limit` counts, too.
    """
    limit = [f"data.limit {study.data.limit}"] if study.data.limit else []
    if not study.changed:
        return limit
    run = study.model_dump()
    done, asked = _amounts(run, study), _amounts(_of_file(study), study)
    fewer = []
    for field in dict.fromkeys([*asked, *done]):
        amount, wanted = (side.get(field, side[EPOCHS] if "epochs" in field else None) for side in (done, asked))
        if amount is not None and wanted is not None and amount < wanted:
            fewer.append(f"{field} {amount:,} of {wanted:,}")
    return limit + fewer


def with_trials(study: Study, trials: int) -> Study:
    """The study with another target of its search, as the option --trials gives it."""
    before = study.changed.get(TRIALS, (study.searched.trials,))[0]
    made = study.model_copy(update={"search": study.searched.model_copy(update={"trials": trials})})
    made._changed = {**study.changed, TRIALS: (before, trials)}
    return made


def _of_file(study: Study) -> dict[str, Any]:
    """The content of the study file, before the command line changed it; what the file lacks may be at its default."""
    content = study.model_dump()
    for name, (before, _) in reversed([*study.changed.items()]):
        *parents, last = (int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", name))
        holder: Any = _value(content, tuple(parents), {})
        if before is None and isinstance(holder, dict):
            holder.pop(last, None)
        elif holder:
            holder[last] = before
    return content


def _value(content: Any, field: FieldPath, default: Any = None) -> Any:
    """The value of a field in plain data; the default where there is none."""
    for part in field:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return default
    return content


def _amounts(content: Mapping[str, Any], study: Study) -> Amounts:
    """How much a study asks for. Of several levels of `epochs`, the largest counts."""
    drawn = study.data.source == "phantom"
    fields = {field: default for field, default in DEFAULTS.items() if drawn or "phantom" not in field}
    if _value(content, ("test",)) is None:
        del fields["test", "refits"]
    found = {dotted(field): _value(content, field, default) for field, default in fields.items()}
    for index, stage in enumerate(_value(content, ("stages",), ())):
        for block in ("grid", "zip"):
            field: FieldPath = ("stages", index, block)
            found[dotted((*field, "epochs"))] = _largest(_value(stage, (block, "epochs")))
            found |= {dotted((*field, *at)): epochs for at, epochs in _brought(_value(stage, (block,), {}))}
    if study.search is not None:
        found["search.space.epochs"] = _largest(_value(content, ("search", "space", "epochs")))
        found[TRIALS] = _value(content, ("search", "trials")) or _grid_points(study)
        if _value(content, ("search", "confirm")) is not None:
            found["search.confirm.repeats"] = _value(content, ("search", "confirm", "repeats"), Confirm().repeats)
    return {field: amount for field, amount in found.items() if isinstance(amount, int)}


def _brought(grid: Mapping[str, Any]) -> Iterator[tuple[FieldPath, Any]]:
    """The epochs that levels bring with them."""
    for key, levels in grid.items():
        for number, level in enumerate(levels):
            if isinstance(level, Mapping) and "epochs" in level:
                yield (key, number, "epochs"), level["epochs"]


def _largest(levels: Any) -> int | None:
    """The largest of these levels: a list, or a dimension of a search; None where there are none."""
    if isinstance(levels, Mapping):
        levels = levels.get("choices") or [levels.get("high")]
    names = [level[NAME] if isinstance(level, Mapping) else level for level in levels or ()]
    numbers = [level for level in names if isinstance(level, int)]
    return max(numbers, default=None)


def _grid_points(study: Study) -> int | None:
    """The trials of a grid search without a number of trials; None for any other search."""
    return len(study.searched.points()) if study.searched.sampler == "grid" else None
