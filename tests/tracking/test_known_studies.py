from harness.store import Store
from harness.tracking.ui import known_studies
from tests.conftest import Finished


def test_the_ui_lists_the_studies_of_a_store_with_their_leaderboards(finished: Finished) -> None:
    found = known_studies(finished.store, 5000)
    assert found["small"].startswith("http://127.0.0.1:5000/#/experiments/")
    assert "workflowType=machine_learning" in found["small"], "not the page of language models"
    assert "Default" not in found


def test_a_study_without_variants_leads_to_its_leaderboard(store: Store) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(store.database_uri)
    keys = {
        "one": ["0123456789abcdef", "0123456789abcdef-head"],
        "two": ["0123456789abcdef", "fedcba9876543210"],
        "no": [],
    }
    for name, views in keys.items():
        experiment = client.create_experiment(name)
        for key in views:
            client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{key}", "{}")
    found = known_studies(store, 5001)
    assert found["one"].endswith("&viewStateShareKey=0123456789abcdef")
    assert found["two"].endswith("workflowType=machine_learning")
    assert "no" not in found
