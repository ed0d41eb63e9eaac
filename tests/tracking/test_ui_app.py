"""The first page of the UI that `harness ui` serves."""

import tomllib
from importlib.metadata import EntryPoint

from tests.conftest import ROOT


def test_the_first_page_chooses_model_training_before_mlflows_own_scripts_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, value),) = project["entry-points"]["mlflow.app"].items()
    app = EntryPoint(name, value, "mlflow.app").load()

    from mlflow.server import app as pages
    from mlflow.server.fastapi_app import app as server

    assert app is server
    page = pages.test_client().get("/").get_data(as_text=True)
    assert 0 < page.index("mlflow.workflowType") < page.index("<script defer")
    assert 'id="root"' in page
