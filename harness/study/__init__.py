"""The study file, its plan and its state."""

from harness.study.load import load_study
from harness.study.study import Study

__all__ = ["Study", "load_study"]
