"""`make test-gpu`: what is right on this machine's GPU. A line for each check: PASS, FAIL, or SKIP and why.

    python -m tests.gpu.check [--only WORDS] [--out DIR] [--simulated]

Exit code 1 where a check failed, 2 without a CUDA device. The lines so far are always in DIR, as JSON and as Markdown.
--simulated: on the device of tests/gpu/simulated.py, without hardware.
"""

import argparse
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import torch

from tests.gpu.lines import Line, Lines

if TYPE_CHECKING:
    from tests.gpu.lab import Lab

PROGRAM = "python -m tests.gpu.check"


def main(arguments: list[str] | None = None) -> int:
    """Make the checks, and return the exit code."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", metavar="WORDS", default="", help="only the checks whose names have these words")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("mlruns/gpu"))
    parser.add_argument("--simulated", action="store_true", help="on a simulated device: no hardware, no times")
    options = parser.parse_args(arguments)
    if options.simulated:
        from tests.gpu.simulated import install

        install()
        capture_short_fits()
    elif not torch.cuda.is_available():
        reason = f"torch {torch.__version__} finds no CUDA device here (nvidia-smi, its driver)"
        print(f"error: {reason}; `{PROGRAM} --simulated` needs none", file=sys.stderr)
        return 2
    folder = Path(mkdtemp(prefix="gpu-check-"))
    try:
        lines = Lines(options.out / ("simulated.json" if options.simulated else "check.json"), options.simulated)
        for line in made(folder, options.simulated, options.only):
            lines.add(line)
            print(line, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(lines.summary)
    return int(any(line.verdict == "FAIL" for line in lines.lines))


def capture_short_fits() -> None:
    """Let steps be captured in fits that are too short for it to pay."""
    from harness.training import step
    from tests.gpu.lab import SIMULATED_STEPS

    step.CAPTURE_FROM_STEPS = SIMULATED_STEPS


def made(folder: Path, simulated: bool, only: str) -> Iterator[Line]:
    """Make each check, and yield its line."""
    from tests.gpu.checks.device import machine, syncs, too_little_memory, two_devices, two_workers
    from tests.gpu.checks.fused import fused_kernels, near_torch
    from tests.gpu.checks.graphs import captured_step, stacked_heads, stacks_again
    from tests.gpu.checks.numbers import near_full_precision, near_the_cpu, resumed, same_seed
    from tests.gpu.checks.whole import study_to_champion
    from tests.gpu.lab import Lab

    checks: dict[str, Callable[[Lab], str]] = {
        "machine": machine,
        "host syncs a step": syncs,
        "same seed, same bits": same_seed,
        "GPU and CPU agree in fp32": near_the_cpu,
        "bf16 stays near fp32, without ties": near_full_precision,
        "the kernels of the harness agree with torch": fused_kernels,
        "a fit with these kernels and without": near_torch,
        "a captured step gives the bits of the eager step": captured_step,
        "stacked heads agree with the heads alone": stacked_heads,
        "a stack again, and in other company": stacks_again,
        "a checkpoint goes on bit for bit": resumed,
        "a study to its champion, Grad-CAM and predictions": study_to_champion,
        "too little memory: the network and the stack by halves": too_little_memory,
        "two workers on one GPU": two_workers,
        "two visible GPUs": two_devices,
    }
    lab = Lab(folder, simulated)
    for name, check in checks.items():
        if only in name:
            yield line_of(name, check, lab)


def line_of(name: str, check: "Callable[[Lab], str]", lab: "Lab") -> Line:
    """Make one check. Whatever is raised in it is its FAIL, and the others go on."""
    from tests.gpu.lab import SkippedError

    started = time.perf_counter()
    trace = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            words, verdict = check(lab), "PASS"
    except SkippedError as skipped:
        words, verdict = str(skipped), "SKIP"
    except AssertionError as failure:
        words, verdict, trace = str(failure), "FAIL", traceback.format_exc()
    except Exception as error:
        words, verdict, trace = f"{type(error).__name__}: {error}", "FAIL", traceback.format_exc()
    return Line(verdict, name, " ".join(words.split())[:1500], round(time.perf_counter() - started, 1), trace)


if __name__ == "__main__":
    sys.exit(main())
