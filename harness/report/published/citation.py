"""`CITATION.cff`: how to cite a published study. Only its authors know who they are."""

from datetime import datetime

from harness.data.inputs import Workspace
from harness.report.sections.checklist import AUTHOR
from harness.study.strict_yaml import dump_yaml


def citation(workspace: Workspace, published: datetime) -> str:
    """The file's content, in the Citation File Format 1.2."""
    study = workspace.study
    return dump_yaml(
        {
            "cff-version": "1.2.0",
            "message": "If you use this study, please cite it as below.",
            "type": "dataset",
            "title": study.study,
            "abstract": study.description or AUTHOR,
            "authors": [{"name": AUTHOR}],
            "date-released": published.date().isoformat(),
            "version": workspace.identity,
            "license": AUTHOR,
        }
    )
