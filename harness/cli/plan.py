"""The command `plan`."""

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, DeviceName, Overrides, StoreFolder, StudyFile
from harness.cli.rehearsed import AskedStudy, RehearsalTime, rehearsal_seconds

if TYPE_CHECKING:
    from harness.data.inputs import Workspace
    from harness.execution.costs import Probe
    from harness.study.settings import ResolvedSettings
    from harness.study.state import StudyState


def plan(
    study_file: StudyFile,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    simulated: Annotated[
        bool, typer.Option("--simulate", help="Replay recorded durations on 1, 8, 64 and 512 devices.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="First time some steps of each network, to estimate what is left.")
    ] = False,
    device: DeviceName = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    rehearse: RehearsalTime = None,
) -> None:
    """Show stages, scenarios, folds and jobs, what is done, and the cost by the last --probe. Trains nothing."""
    from harness.cli.show.plan import show_plan
    from harness.store import Store

    asked, store = AskedStudy(study_file, data, overrides or []), Store(store_folder)
    study, time = asked.load(), rehearsal_seconds(rehearse)
    if time is not None:
        study = asked.rehearsed(store, device, time, partial(print, file=sys.stderr))
    if probe:
        store.require_open()  # it stores what it measures
    from harness.execution.planned import plan_study

    planned = plan_study(study, store)
    workspace, state, networks = planned.workspace, planned.state, planned.networks
    if probe:
        _probe(workspace, state, device)
    costs = planned.costs
    if as_json:
        from harness.cli.show.plan_json import outline

        print(json.dumps(outline(workspace, state, networks, costs), indent=1))
        return
    show_plan(workspace, state, networks, costs)
    if simulated:
        from harness.cli.show.plan import show_simulations
        from harness.execution.simulate import simulations

        show_simulations(simulations(state.stages))


def _probe(workspace: "Workspace", state: "StudyState", device: str) -> None:
    """Probe every network that has fits left, and store the results."""
    from harness.execution.costs import take_probes
    from harness.execution.probe import probe
    from harness.study.provenance import code_and_machine
    from harness.training.device import choose_device

    inputs = workspace.inputs
    where, machine = choose_device(device), code_and_machine()["machine"]

    def one(settings: "ResolvedSettings") -> "Probe":
        print(f"probing {settings.backbone}, {settings.head}, at {settings.image_size} px", file=sys.stderr)
        return probe(settings, len(inputs.dataset.classes), where, machine, inputs.heads)

    take_probes(workspace, state, one)
