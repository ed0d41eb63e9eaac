"""The words by which runs in MLflow say what they are about."""

from collections.abc import Mapping

from harness.data.inputs import Inputs
from harness.report.numbers.as_run import averaged_words
from harness.report.tables.export import escaped
from harness.study.allowed import CROSS_ENTROPY
from harness.study.number_words import number_of
from harness.study.origin import short_name
from harness.study.scenario_state import ScenarioState
from harness.study.settings import Settings
from harness.study.unit import Unit


def scenario_words(state: ScenarioState, inputs: Inputs, unit: Unit, mark: str | None) -> str:
    """The description of the run of a scenario. unit: of its numbers."""
    s, means, folds = state.settings, state.summary, escaped(inputs.separation.of_folds)
    augmented = "" if s.augment == "none" else f", {s.augment} augmentation"
    loss = "" if s.loss == CROSS_ENTROPY else f", {s.loss} loss"
    left_out = "" if s.undersampling == "none" else f", undersampling {s.undersampling}"
    corrected = ", probabilities corrected for the class shares" if s.prior_correction == "on" else ""
    return (
        f"{bold_mark(mark)}{short_name(s.backbone)} ({s.weights} weights,"
        f" {_trained(s)}{augmented}), head {s.head}, oversampling"
        f" {s.oversampling}{left_out}{loss}{corrected}, {number_of(s.epochs, 'epoch')}. Over"
        f" {len(state.jobs)} folds ({folds}): accuracy{' of patients' * unit.patients}"
        f" {means['val/accuracy_mean']:.3f} (SD {means['val/accuracy_std']:.3f}), ROC AUC"
        f" {means['val/roc_auc_mean']:.3f}. The numbers are of the"
        f" {_epoch(s)}{averaged_words(s)}."
    )


def bold_mark(mark: str | None) -> str:
    """A mark before a description: `**LEAKS.** `; empty where there is none."""
    return f"**{mark}.** " if mark else ""


def _trained(settings: Settings) -> str:
    """What is trained of the backbone."""
    if settings.lora_rank:
        return f"adapters of rank {settings.lora_rank} trained"
    return {"all": "whole network trained", "head": "frozen"}.get(
        settings.trainable, f"{settings.trainable} stages trained"
    )


def _epoch(settings: Settings) -> str:
    """The epoch that counts, of each fold."""
    if settings.stop_patience:
        return "best epoch by images held out of training"
    last = settings.select_epoch == "last"
    return "last epoch" if last else "best epoch on the validation images, which flatters them"


def with_links(summary: str, links: Mapping[str, str]) -> str:
    """The summary of a report with links between its first sentences and its list; words of a link -> URL."""
    first, dash, more = summary.partition("\n- ")
    shown = " | ".join(f"[{words}]({url})" for words, url in links.items())
    return f"{first.rstrip()}\n\n{shown}\n{dash}{more}"
