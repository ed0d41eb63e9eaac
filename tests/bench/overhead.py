"""What the harness adds to the bare training of heads: metrics, ledger, MLflow, figures, report."""

from itertools import product

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from harness.data.inputs import Inputs
from harness.data.resampling import oversample
from harness.models.heads import make_head
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.settings import Settings
from tests.bench.cached_features import feature_files, feature_loader
from tests.bench.figure import Bench, Goal, Row, in_turns, quiet_run, ratio
from tests.bench.grid import GRID, HEADS


def measure(bench: Bench) -> list[Row]:
    """The harness, one fit at a time, over a bare loop with the same heads, steps and features."""
    images, epochs, rounds = (400, 5, 1) if bench.quick else (1000, 15, 2)
    study = bench.study("overhead", images, GRID, epochs=epochs)
    first = bench.store("overhead")
    quiet_run(study, first)  # leaves the features
    inputs, stores = prepare(study, first).inputs, iter(range(rounds))

    def harness() -> None:
        quiet_run(study, bench.store(f"overhead-{next(stores)}", cache_of="overhead"), "inline")

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = in_turns({"bare": lambda: _bare(study, inputs, first), "harness": harness}, rounds)
    torch.set_num_threads(threads)
    work = (
        f"{bench.backbone}, {images} images at 150 px, 24 fits x {epochs} epochs on cached features, one thread."
        " Harness: run_study in a new store, its database, 12 metrics after every epoch, predictions, figures"
        " and report included. Bare: the same heads, batches and optimizer, loss and accuracy after every epoch,"
        " nothing written."
    )
    return [ratio("harness with MLflow / bare loop", times["harness"], times["bare"], Goal("<=", 1.25), work)]


def _bare(study: Study, inputs: Inputs, store: Store) -> None:
    shape = np.load(feature_files(store) / "maps.npy", mmap_mode="r").shape[1:]
    labels = inputs.dataset.labels
    for head, sampling in product(HEADS, ("none", "random")):
        settings = study.base.model_copy(update={"head": head, "oversampling": sampling})
        for fold in inputs.folds:
            rows = oversample(fold.train, labels[fold.train], settings.oversampling, 0)
            _train(settings, shape, rows, fold.validation, torch.from_numpy(labels), store)


def _train(
    settings: Settings, shape: tuple[int, int, int], train: np.ndarray, val: np.ndarray, labels: torch.Tensor,
    store: Store,
) -> float:  # fmt: skip
    """The accuracy on the validation rows after the last epoch."""
    head = make_head(settings, shape, 2)
    features, size = feature_loader(store, head), settings.batch_size
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, fused=True)
    hits = 0
    for _ in range(settings.epochs):
        head.train()
        order = np.random.permutation(train)
        for start in range(0, len(order) - 1, size):
            rows = order[start : start + size]
            loss = cross_entropy(head(*features([rows])), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        head.eval()
        with torch.inference_mode():
            parts = [val[start : start + size] for start in range(0, len(val), size)]
            hits = sum(int((head(*features([rows])).argmax(dim=1) == labels[rows]).sum()) for rows in parts)
    return hits / len(val)
