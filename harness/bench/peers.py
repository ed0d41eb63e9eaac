"""A linear head on kept features, fitted by the libraries that a user would take instead."""

import logging
import warnings

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

from harness.bench.figure import Bench, Clock, Goal, Row, Seconds, quiet_run, ratio, seconds
from harness.bench.kept import feature_files
from harness.prepare import Inputs, prepare
from harness.store import Store

RATE, BATCH = 1e-3, 64


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
    stages = [{"name": "rates", "grid": {"learning_rate": [RATE, 1.1 * RATE]}}]
    study = bench.study("peers", images, stages, epochs=epochs, head="dropout-gap", dropout=0.0, batch_size=BATCH)
    store = bench.store("peers")
    quiet_run(study, store)  # leaves the features
    data, ours = _Data(prepare(study, store), store), Seconds()
    times: dict[str, Seconds] = {"lightning": [], "skorch": []}
    threads = torch.get_num_threads()
    for number in range(rounds):
        clock = Clock()
        quiet_run(study, bench.store(f"peers-{number}", cache_of="peers"), "inline", clock)
        ours.append(clock.seconds_per_fit)
        torch.set_num_threads(1)
        uri = f"sqlite:///{bench.folder}/lightning.db"
        times["lightning"].append(seconds(lambda uri=uri: _lightning(data, epochs, uri)))  # type: ignore[misc]
        times["skorch"].append(seconds(lambda: _skorch(data, epochs)))
        torch.set_num_threads(threads)
    work = (
        f"per fit: linear layer on {data.features} pooled features, {images} images in 3 folds, {epochs} epochs, batch"
        f" {BATCH}, Adam, validation after every epoch, one thread. Ours: from the start of the first of 6 fits to the"
        " end of the last, with 12 metrics an epoch, ledger, MLflow with predictions, and the figures of 2 scenarios."
    )
    return [
        ratio("Lightning + MLFlowLogger / ours", times["lightning"], ours, Goal(">=", 3), work),
        ratio("skorch / ours", times["skorch"], ours, Goal(">=", 2), f"{work} skorch writes nothing."),
    ]


class _Data:
    """The first fold, as tensors."""

    def __init__(self, inputs: Inputs, store: Store) -> None:
        moments = np.load(feature_files(store) / "moments.npy")
        self.features = moments.shape[2]
        fold, pooled = inputs.folds[0], torch.from_numpy(moments[:, 0].copy())
        labels = torch.from_numpy(inputs.dataset.labels)
        self.train = pooled[fold.train], labels[fold.train]
        self.val = pooled[fold.validation], labels[fold.validation]


def _lightning(data: _Data, epochs: int, uri: str) -> None:
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
