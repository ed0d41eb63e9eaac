"""The GPU, its driver and torch, in words. NVML is asked, which takes nothing of the GPU's memory."""

import shutil
import sysconfig
from pathlib import Path

import torch


def gpu_words() -> str:
    """The GPUs and the driver by NVML: `2 x NVIDIA H100 80GB HBM3, driver 580.65`; `none` where NVML finds none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        names = [
            pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))
            for index in range(pynvml.nvmlDeviceGetCount())
        ]
        driver = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        return f"none: {error}"
    kinds = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return f"{', '.join(kinds) or 'none'}, driver {driver}"


def compiler_words() -> str:
    """What torch.compile needs on a GPU, and what of it is missing."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    header = Path(sysconfig.get_paths()["include"], "Python.h").exists()
    return f"C compiler {compiler or 'none'}, Python.h {'there' if header else 'missing'}"


def torch_words() -> str:
    """The versions of torch, CUDA and cuDNN."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
