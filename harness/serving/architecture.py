"""The architecture of a backbone from elsewhere, saved with its classifier: so that no folder and no hub is needed."""

import shutil
from pathlib import Path

from harness.models.repositories import CONFIGS, KEYS, config_files, folder_of, read_config
from harness.study.origin import EXTRAS, PACKAGES, origin_of
from harness.study.settings import ResolvedSettings

FOLDER_NAME = "architecture"


def save_architecture(settings: ResolvedSettings, folder: Path) -> ResolvedSettings:
    """Copy the config files of a backbone from elsewhere into a folder; return the settings without a path."""
    origin = origin_of(settings.backbone)
    if origin is None:
        return settings
    (folder / FOLDER_NAME).mkdir()
    for path in [folder_of(origin)] if origin.is_own else config_files(folder_of(origin)):
        shutil.copyfile(path, folder / FOLDER_NAME / path.name)
    named = settings.backbone if origin.repo else origin.moved_to(Path(FOLDER_NAME))
    return settings.model_copy(update={"backbone": named})


def with_architecture(settings: ResolvedSettings, folder: Path) -> ResolvedSettings:
    """The settings with the backbone in a folder that `save_architecture` wrote into."""
    origin = origin_of(settings.backbone)
    if origin is None:
        return settings
    return settings.model_copy(update={"backbone": origin.moved_to((folder / FOLDER_NAME).absolute())})


def needed_packages(folder: Path) -> list[str]:
    """The packages beside timm that the backbone of a saved classifier needs."""
    place = folder / FOLDER_NAME
    return [PACKAGES[of] for of in EXTRAS if (file := place / CONFIGS[of]).is_file() and KEYS[of] in read_config(file)]
