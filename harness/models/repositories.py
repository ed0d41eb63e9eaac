"""The folders of backbones from elsewhere: on this disk, or the snapshot of a repository of the Hugging Face hub.

Of a class of the user's own it is the file of its source.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.models.custom import source_digest
from harness.models.hub_files import repository_files, snapshot
from harness.store.files import file_digest
from harness.study.identity import digest
from harness.study.origin import EXTRAS, OWN, Library, Origin, origin_of
from harness.study.own_file import read_source

CONFIGS: dict[Library, str] = {
    "timm": "config.json", "open_clip": "open_clip_config.json", "transformers": "config.json",
}  # fmt: skip
KEYS: dict[Library, str] = {"timm": "architecture", "open_clip": "model_cfg", "transformers": "model_type"}
SAVED_BY: dict[Library, str] = {
    "timm": "timm.models.save_for_hf", "open_clip": "open_clip.push_to_hf_hub's own file of the config",
    "transformers": "save_pretrained of the model",
}  # fmt: skip
SCHEME_OF: dict[Library, str] = {
    "timm": "hf-hub:ORG/NAME or local-dir:FOLDER", "open_clip": "open_clip:", "transformers": "transformers:",
}  # fmt: skip
DESCRIBING = ("preprocessor_config.json", "processor_config.json")  # of transformers: the preprocessing
CARD = "README.md"
WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")  # of several forms the first one is read
SOURCE = ":source:"  # in a digest, before the hash of the source of a class of the user's own
NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "optimizer.pt", "scheduler.pt")


def require_installed(origin: Origin) -> None:
    """Raise HarnessError where the library of a backbone is not installed."""
    if not origin.is_own and find_spec(origin.library) is None:
        raise HarnessError(f"{origin.library} is not installed; pip install 'harness[{EXTRAS[origin.library]}]'")


def folder_of(origin: Origin, weights: bool = False) -> Path:
    """The folder with the config of a backbone, from the hub if need be; with `weights` also with its weights.

    Raises HarnessError where there is none, or where it is of another library.
    """
    if origin.is_own:
        own_source(origin)
        return origin.folder or Path()
    name = CONFIGS[origin.library]
    folder = origin.folder
    if folder is None:
        folder = snapshot(origin.repo, origin.revision, [name], (*DESCRIBING, CARD))
        if weights and not weight_files(folder):
            files = weights_among(repository_files(origin.repo, folder.name))
            if not files:
                raise HarnessError(f"{origin.repo} has no weights; write weights: none for random ones")
            snapshot(origin.repo, folder.name, files)
    elif not folder.is_dir():
        raise HarnessError(f"there is no folder {folder}")
    _require_config(folder, name, origin.library)
    if weights and not weight_files(folder):
        raise HarnessError(f"{folder} has no weights, such as model.safetensors; write weights: none for random ones")
    return folder


def own_source(origin: Origin) -> str:
    """The source of a class of the user's own. Raises HarnessError where its file is gone, or lacks the class."""
    return read_source(origin.folder or Path(), origin.class_name, OWN)


def require_source(backbone: str, weights: str) -> None:
    """Raise HarnessError where the source of a class of the user's own was edited since the study was read.

    weights: the digest that the study has for it.
    """
    origin = origin_of(backbone)
    if origin is None or not origin.is_own:
        return
    if source_digest(own_source(origin)) != weights.partition(SOURCE)[2]:
        raise HarnessError(f"{origin.folder} was changed while the study ran; run it again, with new ids of its fits")


def _require_config(folder: Path, name: str, library: Library) -> None:
    """Raise HarnessError where the config is not there, or of another library."""
    if not (folder / name).is_file():
        raise HarnessError(f"{folder} has no {name}; {library} writes one by {SAVED_BY[library]}")
    config = read_config(folder / name)
    if KEYS[library] in config:
        return
    other = next((of for of, key in KEYS.items() if key in config and CONFIGS[of] == name), None)
    hint = f"; it is of {other}: write {SCHEME_OF[other]}" if other else ""
    raise HarnessError(f"{folder / name} has no {KEYS[library]}, so it is no model of {library}{hint}")


def read_config(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises HarnessError where it is no mapping."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise HarnessError(f"{path} is no mapping")
    return found


def config_files(folder: Path) -> list[Path]:
    """The small files that say what a backbone is and how its images are prepared."""
    return [path for name in sorted({*CONFIGS.values(), *DESCRIBING}) if (path := folder / name).is_file()]


def weight_files(folder: Path) -> list[Path]:
    """The files with weights in a folder, of the form that is read."""
    return [folder / name for name in weights_among(path.name for path in folder.iterdir())]


def weights_among(names: Iterable[str]) -> list[str]:
    """The files with weights among these of a folder, of the form that is read, with the index of their parts."""
    plain = sorted(name for name in names if "/" not in name and name not in NOT_WEIGHTS)
    for form in WEIGHTS:
        if any(name.endswith(form) for name in plain):
            return [name for name in plain if name.endswith((form, f"{form}.index.json"))]
    return []


def has_weights(backbone: str) -> bool:
    """Whether the weights of a backbone are on this machine; those of the hub may still have to be downloaded."""
    origin = origin_of(backbone)
    return origin is None or not origin.repo or bool(weight_files(folder_of(origin)))


def content_digest(origin: Origin, pretrained: bool, file: str = "none") -> str:
    """What a backbone is, for identities: the commit of a repository, or the hash of the files of a folder or a source.

    file: the hash of the weights file of a class of the user's own.
    """
    if origin.is_own:
        return f"{file}{SOURCE}{source_digest(own_source(origin))}"
    folder = folder_of(origin, weights=pretrained and not origin.repo)
    if origin.repo:
        content = f"hub:{origin.repo}@{folder.name}"
    else:
        files = config_files(folder) + (weight_files(folder) if pretrained else [])
        content = f"folder:{digest([[path.name, file_digest(path)] for path in files])}"
    return content if pretrained else f"none:{content}"


def source_words(origin: Origin) -> str:
    """Where pretrained weights come from, in words: the page of the commit, or the name of the folder."""
    if origin.repo:
        return f"{origin.library}, https://huggingface.co/{origin.repo}/tree/{folder_of(origin).name}"
    return f"{origin.library}, the folder {origin.folder.name if origin.folder else ''}"


def licence_of(origin: Origin) -> str | None:
    """The licence that the model card of a backbone names, or its config; None where none is stated."""
    from huggingface_hub import metadata_load

    folder = folder_of(origin)
    config = read_config(folder / CONFIGS[origin.library])
    stated: Any = config.get("license") or config.get("pretrained_cfg", {}).get("license")
    card = folder / CARD
    with suppress(Exception):  # a card with broken metadata: what PyYAML raises
        stated = ((metadata_load(card) if card.is_file() else None) or {}).get("license") or stated
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated) if stated else None
