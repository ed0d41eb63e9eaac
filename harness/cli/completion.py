"""Shell completion of `--set KEY=VALUE`, also in bash, which splits words at `=`."""

import os
from collections.abc import MutableMapping

COMPLETION_PREFIX_VAR = "_HARNESS_COMPLETION_PREFIX"  # `KEY=`, which bash has already split off


def complete_override(incomplete: str) -> list[str]:
    """The completions of `--set KEY=VALUE` that match, as the shell expects them."""
    from harness.models.names import HEADS
    from harness.study.schema import override_words

    prefix = os.environ.get(COMPLETION_PREFIX_VAR, "")
    return [word.removeprefix(prefix) for word in override_words(HEADS) if word.startswith(prefix + incomplete)]


def join_words(environment: MutableMapping[str, str]) -> None:
    """Join the words that bash has split at `=`; of the last word only the part after `=` remains."""
    words = environment.get("COMP_WORDS", "").split("\n")[: int(environment.get("COMP_CWORD") or 0) + 1]
    whole: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if whole and "=" in (before, word):
            whole[-1] += word
        else:
            whole.append(word)
    if "=" in words[-2:]:
        key, _, whole[-1] = whole[-1].partition("=")
        environment[COMPLETION_PREFIX_VAR] = f"{key}="
    environment.update({"COMP_WORDS": "\n".join(whole), "COMP_CWORD": str(len(whole) - 1)})
