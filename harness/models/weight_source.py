"""Where the weights of a backbone come from, and under which licence: for the facts of a fit and the model card."""

from harness.models.networks import config_of
from harness.models.repositories import licence_of, source_words
from harness.study.allowed import is_pretrained
from harness.study.origin import origin_of
from harness.study.settings import Settings


def weights_source(settings: Settings) -> tuple[str | None, str | None]:
    """The source of pretrained weights and their licence, each None where it is not known; a file has neither."""
    if settings.is_built_in or not is_pretrained(settings.weights):
        return None, None
    origin = origin_of(settings.backbone)
    if origin is not None:
        return source_words(origin), licence_of(origin)
    config = config_of(settings.backbone)
    if config is None or not config.hf_hub_id:
        return None, None
    return f"timm, https://huggingface.co/{config.hf_hub_id}", config.license
