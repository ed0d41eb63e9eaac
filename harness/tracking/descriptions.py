"""The descriptions that MLflow shows on runs and on the experiment, in Markdown."""

from mlflow import MlflowClient

from harness.study.identity import digest
from harness.tracking.entities import MAX_TAG

NOTE, OWN_NOTE = "mlflow.note.content", "harness.note_digest"  # a description, and what of it is not a user's


class Descriptions:
    """The descriptions of an experiment and of its runs."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client, self._experiment_id = client, experiment_id

    def describe(self, run_id: str, text: str) -> None:
        """Set the description of a run."""
        self._client.set_tag(run_id, NOTE, text)

    def of_run(self, run_id: str) -> str:
        """The description of a run; empty where it has none."""
        return str(self._client.get_run(run_id).data.tags.get(NOTE, ""))

    def describe_experiment(self, text: str) -> None:
        """Set the description of the experiment, as far as MLflow takes it; one that a user wrote stays."""
        text = text if len(text) <= MAX_TAG else text[: text.rindex("\n", 0, MAX_TAG)]
        tags = self._client.get_experiment(self._experiment_id).tags
        if tags.get(NOTE, "") == "" or digest(tags[NOTE]) == tags.get(OWN_NOTE):
            self._client.set_experiment_tag(self._experiment_id, NOTE, text)
            self._client.set_experiment_tag(self._experiment_id, OWN_NOTE, digest(text))
