"""What the shell offers after `--set`. bash takes `KEY=VALUE` apart at its `=`; here that is seen through."""

import os
from collections.abc import MutableMapping

HELD = "_HARNESS_HELD"  # the part of the word, up to its `=`, that bash keeps by itself


def complete_override(incomplete: str) -> list[str]:
    """The endings of `--set KEY=VALUE` that fit, as the shell wants them."""
    from harness.models.names import HEADS
    from harness.study.schema import override_words

    held = os.environ.get(HELD, "")
    return [word.removeprefix(held) for word in override_words(HEADS) if word.startswith(held + incomplete)]


def join_words(environment: MutableMapping[str, str]) -> None:
    """Makes one word again of each that bash took apart; of the last one only what follows the `=` stays."""
    words = environment.get("COMP_WORDS", "").split("\n")[: int(environment.get("COMP_CWORD") or 0) + 1]
    whole: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if whole and "=" in (before, word):
            whole[-1] += word
        else:
            whole.append(word)
    if "=" in words[-2:]:
        key, _, whole[-1] = whole[-1].partition("=")
        environment[HELD] = f"{key}="
    environment.update({"COMP_WORDS": "\n".join(whole), "COMP_CWORD": str(len(whole) - 1)})
