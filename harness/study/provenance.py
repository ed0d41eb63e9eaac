"""The provenance of a study: Python, packages, machine and code."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

from harness.errors import redact
from harness.study.identity import digest

PACKAGE = Path(__file__).parents[1]
PACKAGES = {  # package -> module, of those whose code affects the numbers
    "torch": "torch", "timm": "timm", "Pillow": "PIL", "numpy": "numpy", "scikit-learn": "sklearn",
    "imbalanced-learn": "imblearn",
}  # fmt: skip
# The files whose code decides the numbers of a fit, in addition to what is part of its id, such as the manifest.
# A changed byte in one of them stops a study that is half done.
DECISIVE_FILES = (
    "data/dataset.py", "data/decode.py", "data/dicom.py", "data/folds.py", "data/inner_split.py", "data/leaks.py",
    "data/manifest.py", "data/pixels.py", "data/resampling.py", "data/resizing.py", "data/stratified_groups.py",
    "data/subset.py",
    "data/train_share.py", "data/windows.py",
    "models/anatomy.py", "models/attention.py", "models/backbone.py", "models/baselines.py", "models/custom.py",
    "models/dropout.py",
    "models/foreign.py", "models/from_open_clip.py", "models/from_own.py", "models/from_transformers.py",
    "models/heads.py", "models/layer_depths.py", "models/layouts.py", "models/lbfgs.py", "models/leading_axes.py",
    "models/linear_models.py",
    "models/lora.py", "models/names.py", "models/networks.py",
    "models/probes.py", "models/repositories.py", "models/stacked_heads.py",
    "models/timm_optimizers.py", "models/weights.py",
    "stats/metrics.py", "stats/priors.py",
    "study/allowed.py", "study/identity.py", "study/settings.py",
    "training/augment.py", "training/capture.py", "training/casts.py", "training/checkpoint.py", "training/device.py",
    "training/extract.py", "training/features.py", "training/fit.py", "training/fit_baseline.py",
    "training/fit_history.py", "training/fit_probe.py", "training/fit_stack.py",
    "training/fused_norm.py", "training/fused_pool.py", "training/fusing.py", "training/job.py",
    "training/learner.py", "training/learning_rate.py",
    "training/loaders.py", "training/losses.py", "training/mixing.py", "training/network.py",
    "training/norm_kernels.py",
    "training/optimizer_state.py", "training/optimizers.py", "training/own_parts.py", "training/own_sampler.py",
    "training/predict.py", "training/rand_augment.py",
    "training/result.py", "training/run.py", "training/scoring.py", "training/side_conv.py", "training/step.py",
    "training/stopping.py",
    "training/task.py", "training/views.py", "training/ways.py", "training/window_kernels.py",
)  # fmt: skip


def environment() -> str:
    """The content of `environment.txt`: machine, command line, git commit, and every package with its version."""
    lines = [
        f"python {platform.python_version()}",
        f"platform {platform.platform()}",
        f"processor {_processor()}, {os.cpu_count()} cores",
        f"command {_command()}",
        f"git {_git('rev-parse', 'HEAD')}{' (modified)' if _git('status', '--porcelain') else ''}",
    ]
    return "\n".join([*lines, "", *_packages()]) + "\n"


@cache
def _packages() -> list[str]:
    """Every installed package with its version."""
    return sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}, key=str.lower)


def code_and_machine() -> dict[str, str]:
    """The commit, the versions, the machine and the command line."""
    return {
        "git_commit": _git("rev-parse", "HEAD") or "not a checkout",
        "git_dirty": str(bool(_git("status", "--porcelain"))).lower(),
        "versions": versions(),
        "python": platform.python_version(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "command": _command(),
    }


def versions(*packages: str) -> str:
    """The versions of the packages that affect the numbers: `torch 2.10.0, timm 1.0.31, ...`, without local versions.

    packages: further ones that a fit needs. Of an imported package it is the imported version; the installed one
    may have changed since.
    """
    modules = PACKAGES | {package: package.removesuffix("_torch") for package in packages}
    found = {name: getattr(sys.modules.get(module), "__version__", None) for name, module in modules.items()}
    return ", ".join(f"{name} {(number or version(name)).partition('+')[0]}" for name, number in found.items())


def code_digest(files: Collection[str] = DECISIVE_FILES) -> str:
    """The hash of the content of these files of the package when this process first read them: 16 hex digits."""
    return _code_digest(PACKAGE, tuple(sorted(files)))


@cache
def _code_digest(package: Path, files: tuple[str, ...]) -> str:
    return digest([[file, hashlib.sha256((package / file).read_bytes()).hexdigest()] for file in files])


def decisive_code() -> str:
    """DECISIVE_FILES as one line: `harness/data/{decode,folds}.py, harness/models/{...}.py, ...`."""
    rooms: dict[str, list[str]] = {}
    for file in DECISIVE_FILES:
        room, _, name = file.partition("/")
        rooms.setdefault(room, []).append(name.removesuffix(".py"))
    return ", ".join(
        f"harness/{room}/{names[0] if len(names) == 1 else '{' + ','.join(names) + '}'}.py"
        for room, names in rooms.items()
    )


def _command() -> str:
    started = Path(sys.argv[0]).name
    return redact(" ".join(["python -m harness.cli" if started == "__main__.py" else started, *sys.argv[1:]]))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    """The output of git in the folder of the package; empty where it is not a checkout."""
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
