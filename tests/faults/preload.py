# ruff: noqa: F401
"""What the fork server imports once, so that a faulty run costs a second and not ten."""

from pathlib import Path
from typing import Any

import alembic.command
import git
import imblearn.over_sampling
import jinja2
import matplotlib.backends.backend_agg
import mlflow.store.tracking.sqlalchemy_store
import pyarrow.pandas_compat
import pyarrow.parquet
import statsmodels.stats.multitest
from matplotlib.figure import Figure
from PIL import Image

import harness.cli
import harness.cli.show
import harness.data.checks
import harness.report.figures.study
import harness.runner
import harness.search.run

Image.init()


def _blank(figure: Figure, path: Path, **_options: Any) -> None:
    """A file in the place of a figure: drawing takes half the time of a small study."""
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {len(figure.axes)} axes --></svg>')


Figure.savefig = _blank  # type: ignore[assignment]
