"""MLflow's server as `harness ui` starts it: its bare address opens the experiments of model training.

MLflow's own first page is that of language models, with an assistant that opens itself.
"""

from pathlib import Path

import mlflow.server
from mlflow.server.fastapi_app import app as app

# what a reader has chosen in MLflow stays: only what was never set is set
CHOICES = """<script>
localStorage["mlflow.workflowType_v1"] ??= '"machine_learning"';
localStorage["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"] ??= "true";
if (location.hash.length < 3) location.replace("#/experiments");
</script>"""


def first_page() -> str:
    """MLflow's page, where its choices are made before its own scripts run."""
    page = Path(str(mlflow.server.app.static_folder), "index.html").read_text(encoding="utf-8")
    return page.replace("<head>", f"<head>{CHOICES}", 1)


mlflow.server.app.view_functions["serve"] = first_page
