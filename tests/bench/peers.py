"""A linear head on cached features, fitted by the libraries that a user would take instead."""

import logging
import os
import warnings
from functools import partial
from statistics import median
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import MLFlowLogger
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from harness.data.inputs import Inputs
from harness.models.heads import make_head
from harness.prepare import prepare
from harness.store import Store
from harness.store.store import sqlite_uri
from harness.study.settings import Settings
from harness.training.device import Arithmetic, deterministic
from harness.training.fit import fit
from harness.training.task import FitJob, Task
from tests.bench.cached_features import feature_files, feature_loader
from tests.bench.figure import Bench, Clock, Goal, Row, Seconds, quiet_run, ratio, seconds

RATE, BATCH, REPEATS = 1e-3, 64, 4
os.environ.pop(
    "PYTORCH_NVML_BASED_CUDA_CHECK", None
)  # set by Lightning: every step of an optimizer would look for NVML


class _Linear(lightning.LightningModule):
    """A linear layer as Lightning wants it."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 2)

    def _loss(self, batch: tuple[Tensor, Tensor], side: str) -> Tensor:
        logits, labels = self.linear(batch[0]), batch[1]
        loss = cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict({f"{side}/loss": loss, f"{side}/accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        self._loss(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=RATE)


def measure(bench: Bench) -> list[Row]:
    """Lightning with its MLFlowLogger, and skorch, over a fit of the harness, per fit."""
    images, epochs, rounds = (400, 5, 2) if bench.quick else (2000, 15, 3)
    base: dict[str, Any] = {
        "epochs": epochs,
        "head": "dropout-gap",
        "dropout": 0.0,
        "batch_size": BATCH,
        "learning_rate": RATE,
    }
    study = bench.study("peers", images, [{"name": "one"}], repeats=REPEATS, **base)
    store = bench.store("peers")
    quiet_run(study, store)  # leaves the features
    data = _Data(prepare(study, store).inputs, store)
    uri = sqlite_uri(bench.folder / "lightning.db")
    alone = {
        "lightning": partial(_lightning, data, uri=uri),
        "skorch": partial(_skorch, data),
        "fit": partial(_fit, data, study.base, store),
    }
    for way in alone.values():
        way(epochs=1)  # its database is made, everything is loaded
    times: dict[str, Seconds] = {name: [] for name in (*alone, "harness", "closing")}
    for number in range(rounds):
        with deterministic(threads=1):
            for name, way in alone.items():
                times[name].append(seconds(partial(way, epochs=epochs)))
        clock = Clock()
        quiet_run(study, bench.store(f"peers-{number}", cache_of="peers"), "inline", clock)
        times["harness"].append((clock.ended[-2] - clock.began) / (len(clock.ended) - 1))
        times["closing"].append(clock.ended[-1] - clock.ended[-2] - times["harness"][-1])
    work = (
        f"per fit: linear layer on {data.features} pooled features, {images} images in 3 folds, {epochs} epochs, batch"
        f" {BATCH}, Adam, validation after every epoch, one thread. Ours: "
    )
    whole = (
        f"from the start of the first of {3 * REPEATS} fits of a scenario to the end of the last but one, with 12"
        " metrics an epoch, ledger, and MLflow with predictions. What follows the last, the scenario's own run, tables"
        f" and figures, takes {median(times['closing']):.2f} s."
    )
    return [
        ratio("Lightning + MLFlowLogger / ours", times["lightning"], times["harness"], Goal(">=", 3), work + whole),
        ratio("skorch / our loop, neither writes", times["skorch"], times["fit"], Goal(">=", 2),
              f"{work}the training loop alone, with 12 metrics an epoch."),
        ratio("skorch, which writes nothing / ours", times["skorch"], times["harness"], None, work + whole),
    ]  # fmt: skip


class _Data:
    """The first fold, as tensors."""

    def __init__(self, inputs: Inputs, store: Store) -> None:
        moments = np.load(feature_files(store) / "moments.npy")
        self.features = moments.shape[2]
        fold, pooled = inputs.folds[0], torch.from_numpy(moments[:, 0].copy())
        labels = torch.from_numpy(inputs.dataset.labels)
        self.task = Task(labels, fold.train, fold.validation, 1, every_epoch=True)
        self.train = pooled[fold.train], labels[fold.train]
        self.val = pooled[fold.validation], labels[fold.validation]


def _fit(data: _Data, settings: Settings, store: Store, epochs: int) -> None:
    settings = settings.model_copy(update={"epochs": epochs})
    head = make_head(settings, (data.features, 1, 1), 2)
    job = FitJob(data.task, settings, 0, lambda *_: None)
    fit(head, feature_loader(store, head), job, Arithmetic(torch.device("cpu"), "fp32"))


def _lightning(data: _Data, uri: str, epochs: int) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=MLFlowLogger("peers", tracking_uri=uri), barebones=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1000,
        )  # fmt: skip
        train = DataLoader(TensorDataset(*data.train), BATCH, shuffle=True)
        trainer.fit(_Linear(data.features), train, DataLoader(TensorDataset(*data.val), BATCH))


def _skorch(data: _Data, epochs: int) -> None:
    net = NeuralNetClassifier(
        nn.Linear(data.features, 2), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=RATE,
        batch_size=BATCH, max_epochs=epochs, iterator_train__shuffle=True, verbose=0,
        train_split=predefined_split(Dataset(*data.val)),
    )  # fmt: skip
    net.fit(*data.train)
