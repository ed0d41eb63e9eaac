"""The JSON Schema of the study file, for editors, and the words that complete `--set`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.study.allowed import LOSSES, OPTIMIZERS, OVERSAMPLING
from harness.study.grid import NAME
from harness.study.settings import Settings
from harness.study.study import Study


def study_schema(heads: Iterable[str]) -> dict[str, Any]:
    """The JSON Schema of a study, including the settings that a grid may vary and the available heads."""
    schema = Study.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    parts = schema["$defs"]
    names = {"enum": list(Settings.model_fields)}
    for block in ("grid", "zip"):
        parts["Stage"]["properties"][block]["propertyNames"] = names
        parts["Stage"]["properties"][block]["additionalProperties"]["items"] = {"$ref": "#/$defs/Level"}
    parts["Stage"]["properties"]["when"]["propertyNames"] = names
    parts["Stage"]["properties"]["exclude"]["items"]["propertyNames"] = names
    custom, of_timm = {"type": "string", "pattern": ":"}, {"type": "string", "pattern": "^[a-z0-9]+$"}
    for part, known, more in (
        ("loss", LOSSES, []), ("optimizer", OPTIMIZERS, [of_timm]), ("oversampling", OVERSAMPLING, []),
    ):  # fmt: skip
        parts["Settings"]["properties"][part] |= {"anyOf": [{"enum": list(known)}, *more, custom]}
        parts["Settings"]["properties"][part].pop("type")
    stages_or_rank = {"type": "string", "pattern": "^(last-[1-9][0-9]?|lora-[1-9][0-9]{0,2})$"}
    parts["Settings"]["properties"]["trainable"] |= {"anyOf": [{"enum": ["all", "head"]}, stages_or_rank]}
    parts["Settings"]["properties"]["trainable"].pop("type")
    parts["Settings"]["properties"]["head"] |= {"anyOf": [{"enum": list(heads)}, custom]}
    parts["Settings"]["properties"]["head"].pop("type")
    brought = parts["Settings"]["properties"]
    parts["Level"] = {  # a value, or a mapping: its name, and the settings that it brings with it
        "if": {"type": "object"},
        "then": {"properties": {NAME: {}, **brought}, "required": [NAME], "additionalProperties": False},
    }
    return schema


def override_words(heads: Iterable[str]) -> list[str]:
    """Every completion of `--set KEY=VALUE`: allowed values of a field, else its default, else nothing after `=`."""
    schema = study_schema(heads)
    return [f"{key}={value}" for key, value in _words(schema, schema["$defs"], "")]


def _words(part: Mapping[str, Any], parts: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in part.get("properties", {}).items():
        options = [option for option in (field, *field.get("anyOf", ())) if option.get("type") != "null"]
        blocks = [parts[option["$ref"].rpartition("/")[2]] for option in options if "$ref" in option]
        for block in blocks:
            yield from _words(block, parts, f"{prefix}{name}.")
        values = [value for option in options for value in option.get("enum", ())]
        if field.get("type") == "boolean":
            values = ["true", "false"]
        if not blocks and field.get("type") not in ("array", "object"):
            default = field.get("default")
            yield from ((f"{prefix}{name}", str(v)) for v in values or ["" if default is None else default])
