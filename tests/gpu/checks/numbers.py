"""The numbers of a fit: the same again, near those of the CPU, near those of full precision."""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from harness.training.job import run_job
from tests.gpu.fits import apart, far, probabilities, silent
from tests.gpu.lab import Lab, must

ADAPTERS = "base.backbone=test_vit base.head=linear base.trainable=lora-4"
SETTINGS = (
    "base.precision=bf16", "base.precision=fp32", "base.augment=flip+affine", "base.trainable=last-1",
    "base.trainable=head", "base.optimizer=sgd", "base.augment=randaugment", "base.recipe=modern",
    "base.tta=flip+crops base.snapshots=2", "base.loss=focal", ADAPTERS,
)  # fmt: skip
RESUMED = (
    "base.optimizer=adam", "base.optimizer=sgd", "base.optimizer=adamw", "base.optimizer=lion",
    "base.schedule=cosine base.ema=0.9 base.augment=randaugment", ADAPTERS,
)  # fmt: skip
# After two epochs. Adam's first steps have the sign of a gradient and not its size: rounding turns some of them.
NEAR_THE_CPU = {"sgd": 1e-3, "adam": 1e-2}
NEAR_FULL_PRECISION = 0.02  # of a probability or a loss, after two epochs in bf16


def same_seed(lab: Lab) -> str:
    """Two fits of one job, for each of these settings."""
    differences = {}
    for setting in lab.some(SETTINGS):
        context, job, first = lab.first(*setting.split())
        differences[setting] = apart(first, run_job(job, context, silent))
    return must(not any(differences.values()), f"apart by {differences}")


def near_the_cpu(lab: Lab) -> str:
    """The same fit in fp32 on both devices."""
    words, near = [], True
    for optimizer, limit in NEAR_THE_CPU.items():
        context, (job, *_) = lab.case(
            "base.precision=fp32", "base.dropout=0.0", "base.epochs=2", f"base.optimizer={optimizer}"
        )
        found = far(run_job(job, context, silent), run_job(job, replace(context, device="cpu"), silent))
        near &= found <= limit
        words.append(f"{optimizer} {found:.1e} (<= {limit:g})")
    return must(near, f"of a probability or a loss after two epochs: {', '.join(words)}")


def near_full_precision(lab: Lab) -> str:
    """The same fit in bf16 and in fp32; in bf16 no two images share a probability."""
    fits = []
    for precision in ("bf16", "fp32"):
        context, (job, *_) = lab.case(
            f"base.precision={precision}", "base.dropout=0.0", "base.epochs=2", "base.optimizer=sgd"
        )
        # The precision is part of the seed, which would draw another head.
        fits.append(run_job(replace(job, seed=0), context, silent))
    found, scores = far(*fits), probabilities(fits[0])[:, 1]
    ties = len(scores) - len(np.unique(scores))
    words = f"{found:.1e} (<= {NEAR_FULL_PRECISION}); of {len(scores)} images {ties} share a probability in bf16 (0)"
    return must(found <= NEAR_FULL_PRECISION and ties == 0, words)


class _InterruptionError(Exception):
    pass


def resumed(lab: Lab) -> str:
    """A fit that goes on from a checkpoint, and the fit as a whole."""
    differences = {}
    for setting in lab.some(RESUMED):
        context, job, whole = lab.first(*setting.split())
        kept = replace(context, checkpoints=lab.new_folder(), checkpoint_every=1)

        def stop(_job: str, epoch: int, _metrics: object) -> None:
            if epoch == 2:
                raise _InterruptionError

        with suppress(_InterruptionError):
            run_job(job, kept, stop)
        assert kept.checkpoints is not None
        must(any(kept.checkpoints.rglob("*.safetensors")), "no checkpoint was written")
        differences[setting] = apart(run_job(job, kept, silent), whole)
    return must(not any(differences.values()), f"apart by {differences}")
