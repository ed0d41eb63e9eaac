"""The last section of a report: the study file as it was given."""

import re

from harness.errors import redact
from harness.study import Study
from harness.study.strict_yaml import dump_yaml


def study_file_lines(study: Study) -> list[str]:
    """The section in Markdown. `index.html` folds it."""
    text, words = study.text, "The study file"
    if not text:  # made by code, not read from a file
        text, words = dump_yaml(study.model_dump(mode="json")), "The study, every field resolved"
    changes = ", ".join(study.changed)
    changed = f", before the command line changed {changes}" if changes else ""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["## Study file", "", f"{words}{changed}:", "", f"{fence}yaml", *redact(text).splitlines(), fence]
