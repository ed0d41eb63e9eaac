"""What pruning saves in a search, and what it costs. Prints a table and writes it as JSON.

    python -m tests.bench.pruning [--seeds N] [--out DIR]

The same search is run without and with pruning, on synthetic images, and the best scenario of each is confirmed on
the same fresh folds. Most of the space is poor on purpose (rates of learning over five decades): there is something
to be saved. A random sampler gives both the same trials, so that they differ in nothing but the pruning; they share
a store, where the second finds the folds that the first fitted. The confirmed means are compared fold by fold.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from harness.execution.progress import Reporter
from harness.prepare import prepare
from harness.search.run import SearchRun, run_search
from harness.search.trials import best_trial
from harness.stats.paired import corrected_t
from harness.store import Ledger, Store
from harness.study import load_study
from harness.study.contests import fold_differences, val_to_train
from harness.study.provenance import environment
from harness.study.reader import StateReader
from harness.study.scenario_state import ScenarioState

STUDY = """\
study: pruning
data: {source: phantom, image_size: 96, positive: PNEUMONIA, phantom: {train: 360, test: 0}}
folds: {k: 5}
base: {backbone: resnet10t, weights: none, trainable: head, batch_size: 32}
stages: [{name: base}]
search:
  space:
    head: {choices: [dropout-gap, dropout-flatten, batchnorm-gap, batchnorm-flatten]}
    dropout: {low: 0.0, high: 0.9, when: {head: [dropout-gap, dropout-flatten]}}
    learning_rate: {low: 1.0e-5, high: 1.0, log: true}
    epochs: {low: 1, high: 8}
  objective: {metric: val/roc_auc}
  sampler: random
  trials: 40
  confirm: {repeats: 3}
"""


@dataclass(frozen=True)
class Search:
    """One search: its fold fits, the value of its best trial and what that is worth on fresh folds."""

    seed: int
    pruner: str
    fits: int  # that it takes alone
    asked: int  # without pruning
    best: float
    confirmed: float


@dataclass(frozen=True)
class Pair:
    """The search with pruning against the one without, at one seed."""

    seed: int
    saved: float  # share of the fold fits
    difference: float  # of the confirmed means: with pruning minus without
    low: float  # its 95 % interval
    high: float
    p: float


def run(seed: int, pruner: str, folder: Path) -> tuple[Search, ScenarioState]:
    """One search, and the confirmation of its best scenario."""
    file = folder / "pruning.yaml"
    file.write_text(STUDY, encoding="utf-8")
    study = load_study(file, [f"search.seed={seed}", f"search.pruner={pruner}", "search.reuse=false"])
    store = Store(folder / "store")
    with Reporter() as reporter:
        done = run_search(study, store, "cpu", reporter, 1, None, None)
    best = best_trial(study, done.results)
    assert best is not None and best.value is not None and done.confirmed is not None
    fits, asked = sum(r.folds for r in done.results), sum(len(r.jobs) for r in done.results)
    found = Search(seed, pruner, fits, asked, best.value, done.confirmed.mean)
    return found, _confirmation(done, store)


def _confirmation(done: SearchRun, store: Store) -> ScenarioState:
    best_study = load_study(done.report.parent / "best.yaml")
    (state,) = StateReader(best_study, prepare(best_study, store).inputs.digests, Ledger(store)).read().stages
    return state.scenarios[0]


def compare(seed: int, folder: Path) -> tuple[list[Search], Pair]:
    """Both searches at one seed, and the one against the other."""
    whole, second = run(seed, "none", folder)
    pruned, first = run(seed, "median", folder)
    test = corrected_t(fold_differences(first, second, "val/roc_auc"), val_to_train(first))
    saved = 1 - pruned.fits / whole.fits
    return [whole, pruned], Pair(seed, saved, test.difference, test.low, test.high, test.p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("mlruns/bench"))
    options = parser.parse_args()
    folder = options.out / "search"
    folder.mkdir(parents=True, exist_ok=True)
    searches: list[Search] = []
    pairs: list[Pair] = []
    for seed in range(options.seeds):
        both, pair = compare(seed, folder)
        searches += both
        pairs.append(pair)
    machine = environment().splitlines()[:3]
    content = {"machine": machine, "searches": [asdict(s) for s in searches], "pairs": [asdict(p) for p in pairs]}
    (options.out / "search.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(searches, pairs)))


def table(searches: list[Search], pairs: list[Pair]) -> list[str]:
    """The lines of the table, SYNTHETIC said on top."""
    lines = [
        "SYNTHETIC images, frozen resnet10t with random weights; val/roc_auc",
        "",
        "seed  pruner  fold fits   best  confirmed",
    ]
    lines += [
        f"{s.seed:4}  {s.pruner:6}  {s.fits:3} of {s.asked:3}  {s.best:.3f}      {s.confirmed:.3f}" for s in searches
    ]
    lines += ["", "seed  fits saved  confirmed, with pruning minus without     p"]
    lines += [
        f"{p.seed:4}  {p.saved:10.0%}  {p.difference:+.4f}  [{p.low:+.4f}, {p.high:+.4f}]  {p.p:10.2f}" for p in pairs
    ]
    resolved = sum(p.p < 0.05 for p in pairs)
    return [
        *lines, "",
        f"saved: {mean(p.saved for p in pairs):.0%} of the fold fits on average; the winners differ by"
        f" {mean(p.difference for p in pairs):+.4f} on average, beyond noise (p < 0.05) in {resolved} of {len(pairs)}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
