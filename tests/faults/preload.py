# ruff: noqa: F401
"""What the fork server imports once, so that a faulty run costs a second and not ten."""

from tests.figures import leave_blank  # isort: skip  # before the figures

import alembic.command
import git
import imblearn.over_sampling
import jinja2
import matplotlib.backends.backend_agg
import mlflow.store.tracking.sqlalchemy_store
import pyarrow.pandas_compat
import pyarrow.parquet
import statsmodels.stats.proportion
from PIL import Image

import harness.cli
import harness.cli.show
import harness.data.checks
import harness.report.figures.scenario_figures
import harness.runner
import harness.search.run

Image.init()

leave_blank()
