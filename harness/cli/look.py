"""The commands that look: plan, audit, report, ui. They train nothing."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    DeviceName,
    MixedVersions,
    Overrides,
    StorePath,
    StudyFile,
    TrackingUri,
    open_store,
)
from harness.errors import HarnessError, StudyError

if TYPE_CHECKING:
    from harness.costs import Probe
    from harness.prepare import Inputs
    from harness.settings import Settings
    from harness.stages import StageState
    from harness.store import Store


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
    from harness.costs import study_costs
    from harness.ledger import Ledger
    from harness.load import load_study
    from harness.preflight import look_at_networks
    from harness.prepare import keep_inputs, nothing_left_if_refused, prepare
    from harness.stages import study_state
    from harness.store import Store
    from harness.terminal.plan import show_plan

    loaded, at = load_study(study, overrides or [], data), Store(store)
    with nothing_left_if_refused(loaded, at):
        inputs = prepare(loaded, at)
        networks = look_at_networks(loaded, inputs.digests, at)
    if at.closed_part is None:
        keep_inputs(loaded, inputs, at)
        networks.keep()
    states = study_state(loaded, inputs.digests, Ledger(at))
    if probe:
        _probe(inputs, states, at, device)
    costs = study_costs(loaded, inputs, states, at)
    if as_json:
        from harness.outline import outline

        print(json.dumps(outline(loaded, inputs, states, networks, costs), indent=1))
        return
    show_plan(loaded, inputs, states, networks, costs)
    if simulated:
        from harness.simulate import simulations
        from harness.terminal.plan import show_simulations

        show_simulations(simulations(states))


def _probe(inputs: "Inputs", states: "list[StageState]", store: "Store", device: str) -> None:
    """Takes a probe of every network that has fits to do, and keeps them in the store."""
    from harness.costs import take_probes
    from harness.environment import code_and_machine
    from harness.training.device import choose_device
    from harness.training.probe import probe

    where, machine = choose_device(device), code_and_machine()["machine"]

    def one(settings: "Settings") -> "Probe":
        print(f"probing {settings.backbone}, {settings.head}, at {settings.image_size} px", file=sys.stderr)
        return probe(settings, len(inputs.dataset.classes), where, machine, inputs.heads.get(settings.head))

    take_probes(states, store, one)


def audit(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Looks through the images for leaks, duplicates and shifts. Trains nothing."""
    from harness.data.audit import ERRORS, audit_study, require_clean
    from harness.load import load_study
    from harness.prepare import prepare
    from harness.progress import Reporter
    from harness.store import Store
    from harness.terminal.checks import show_audit

    loaded, at = load_study(study, overrides or [], data), Store(store)
    inputs = prepare(loaded, at, accepted=ERRORS)  # an audit looks at everything first
    with Reporter() as reporter:
        found = audit_study(loaded, inputs.dataset, inputs.folds, at, reporter.counting)
    if as_json:
        print(found.to_json())
    else:
        show_audit(found)
    require_clean(found)


def report(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="The study file.", readable=False)] = None,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", metavar="FILE", help="Recompute a paper's figures; needs no run.", readable=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder for --published.", readable=False)
    ] = None,
    checklist: Annotated[bool, typer.Option("--checklist", help="Print the path of the filled checklist.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the page's path and every number as JSON.")] = False,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
) -> None:
    """Writes the report again from the stored results, without training."""
    if (study is None) == (published is None) or (published is None) != (out is None):
        raise StudyError("report takes a STUDY, or --published FILE --out DIR")
    if published is not None and out is not None:
        from harness.published import load_published

        paper = load_published(published)
        from harness.report.published import write_published

        print(write_published(paper, out))
    elif study is not None:
        from harness.load import load_study

        loaded, at = load_study(study, overrides or [], data), open_store(store, tracking_uri, mixed_versions)
        from harness.runner import report_study

        page = report_study(loaded, at, partial(print, file=sys.stderr)).with_name("index.html")
        if as_json:
            numbers = json.loads(page.with_name("statistics.json").read_text(encoding="utf-8"))
            print(json.dumps({"study": loaded.study, "page": str(page), **numbers}, indent=1))
        else:
            print(page.with_name("checklist.md") if checklist else page)
        if show:
            typer.launch(page.as_uri())


def ui(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Open at the leaderboard of this study.", readable=False)
    ] = None,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serves the MLflow UI of the store on 127.0.0.1; with --tracking-uri it only names the views on that server."""
    from harness.store import Store
    from harness.ui import ui_command

    at = Store(store, tracking_uri)
    if not at.has_runs:
        raise HarnessError(f"{at.root} holds no runs yet; start with: harness run STUDY --store {store}")
    if at.server is None:
        at.require_open()  # MLflow writes to a database that it reads
    if study is not None:
        from harness.load import load_study
        from harness.publish import study_views

        for words, url in study_views(load_study(study, overrides or [], data), at, port).items():
            print(f"{words}: {url}", flush=True)
    if at.server is not None:
        print(f"all studies: {at.server}")
        return
    command, environment = ui_command(at, port)
    os.execvpe(command[0], command, environment)
