"""The command `plan`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    DeviceName,
    Overrides,
    StorePath,
    StudyFile,
)

if TYPE_CHECKING:
    from harness.execution.costs import Probe
    from harness.prepare import Inputs
    from harness.store import Store
    from harness.study.settings import ResolvedSettings
    from harness.study.state import StageState


def plan(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    simulated: Annotated[
        bool, typer.Option("--simulate", help="Replay recorded durations on 1, 8, 64 and 512 devices.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time each network for some steps first, and say what is left will take.")
    ] = False,
    device: DeviceName = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Shows stages, scenarios, folds and jobs, and what is done already; with the last probe's cost. Trains nothing."""
    from harness.cli.show.plan import show_plan
    from harness.execution.costs import study_costs
    from harness.prepare import keep_inputs, nothing_left_if_refused, prepare
    from harness.store import Ledger, Store
    from harness.study import load_study
    from harness.study.state import study_state
    from harness.training.preflight import check_networks

    loaded, at = load_study(study, overrides or [], data), Store(store)
    with nothing_left_if_refused(loaded, at):
        inputs = prepare(loaded, at)
        networks = check_networks(loaded, inputs.digests, at)
    if at.closed_part is None:
        keep_inputs(loaded, inputs, at)
        networks.keep()
    states = study_state(loaded, inputs.digests, Ledger(at))
    if probe:
        _probe(inputs, states, at, device)
    costs = study_costs(loaded, inputs, states, at)
    if as_json:
        from harness.cli.show.plan_json import outline

        print(json.dumps(outline(loaded, inputs, states, networks, costs), indent=1))
        return
    show_plan(loaded, inputs, states, networks, costs)
    if simulated:
        from harness.cli.show.plan import show_simulations
        from harness.execution.simulate import simulations

        show_simulations(simulations(states))


def _probe(inputs: "Inputs", states: "list[StageState]", store: "Store", device: str) -> None:
    """Takes a probe of every network that has fits to do, and keeps them in the store."""
    from harness.execution.costs import take_probes
    from harness.execution.probe import probe
    from harness.study.provenance import code_and_machine
    from harness.training.device import choose_device

    where, machine = choose_device(device), code_and_machine()["machine"]

    def one(settings: "ResolvedSettings") -> "Probe":
        print(f"probing {settings.backbone}, {settings.head}, at {settings.image_size} px", file=sys.stderr)
        return probe(settings, len(inputs.dataset.classes), where, machine, inputs.heads.get(settings.head))

    take_probes(states, store, one)
