"""The JSON Schema of the study file, by which editors complete and check it."""

from typing import Any

from harness.models.names import HEADS
from harness.settings import Settings
from harness.study import Study


def study_schema() -> dict[str, Any]:
    """The schema of a study, with the fields that a grid may vary and the heads that there are."""
    schema = Study.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    parts = schema["$defs"]
    parts["Stage"]["properties"]["grid"]["propertyNames"] = {"enum": list(Settings.model_fields)}
    own = {"type": "string", "pattern": ":"}
    parts["Settings"]["properties"]["head"] |= {"anyOf": [{"enum": list(HEADS)}, own]}
    parts["Settings"]["properties"]["head"].pop("type")
    return schema
