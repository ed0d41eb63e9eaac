"""A study from its images to its champion."""

import numpy as np

from harness.execution.compute import Compute
from harness.execution.progress import Reporter
from harness.runner import run_study
from harness.serving.classifier import Classifier
from harness.store import Ledger, Store
from harness.store.explanations import explanations_file
from harness.tracking.registry import champion_folder
from tests.gpu.lab import Lab, must

NEAR = 0.05  # of a probability: on a GPU in bf16, on a CPU in fp32


def study_to_champion(lab: Lab) -> str:
    """Folds, selection, refit, test, Grad-CAM and the registered model, which predicts on both devices."""
    study, store = lab.study(), Store(lab.new_folder())
    reporter = Reporter()
    reporter.console.quiet = True
    with reporter:
        run = run_study(study, store, "auto", reporter, compute=Compute("inline"))
    ledger = Ledger(store)
    reasons = [(ledger.note(path.stem) or {}).get("reason", "") for path in store.states.glob("*.json")]
    must(run.failed == 0, f"{run.failed} fits failed: {'; '.join(reasons)}")
    jobs = sorted(path.name for path in store.jobs.iterdir())
    facts = [ledger.record(job).facts for job in jobs]
    must(all(fact.device != "cpu" for fact in facts), f"on {sorted({fact.device for fact in facts})}")
    fallbacks = sorted({reason for fact in facts for reason in fact.fallbacks})
    must(not fallbacks, f"not as asked: {'; '.join(fallbacks)}")
    must(any(explanations_file(store, job).exists() for job in jobs), "no Grad-CAM was made")
    folder = champion_folder(store, "models:/small@champion")
    images = [np.random.default_rng(seed).integers(0, 255, (40, 40), dtype=np.uint8) for seed in range(5)]
    on_gpu, on_cpu = (
        Classifier.load(folder, device).predict(images).iloc[:, 1:].to_numpy(float) for device in ("cuda", "cpu")
    )
    far = float(np.abs(on_gpu - on_cpu).max())
    return must(far <= NEAR, f"{len(jobs)} fits on {facts[0].device}; GPU and CPU predict within {far:.1e} (<= {NEAR})")
