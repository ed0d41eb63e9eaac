import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from harness.data.audit import Audit
from harness.data.finding import AuditFinding, Severity
from harness.prepare import prepare
from harness.report.draft import Draft
from harness.report.numbers.statistics import study_statistics
from harness.report.page import write_page
from harness.report.sections.advice import ADVICE, advice, shown_findings
from harness.report.sections.audit_table import audit_lines
from tests.conftest import Finished

ROOM = Path(__file__).parents[2] / "harness/data"
NAME = re.compile(
    r'AuditFinding\(\s*"([\w-]+)", (.+?),|"([\w-]+)", \w+, "(error|warning)"|\("([\w-]+)", "(error|warning)"\)'
)


def table(finished: Finished, folder: Path, *findings: AuditFinding) -> list[str]:
    """The section of these findings."""
    workspace = prepare(finished.study, finished.store)
    audited = replace(workspace, stored_audit=Audit(workspace.inputs.dataset.digest, list(findings)))
    state = workspace.reader.read()
    draft = Draft(audited, state, study_statistics(workspace, state, workspace.unit, lambda *_: None), folder)
    return audit_lines(draft)


def test_each_finding_has_its_severity_what_was_found_and_what_to_do(finished: Finished, tmp_path: Path) -> None:
    lines = table(
        finished,
        tmp_path,
        AuditFinding("label-conflict", "error", "a | b = c", accepted=True),
        AuditFinding("bad-images", "warning", "3 images"),
        AuditFinding("sizes", "note", "1 size"),
    )
    assert lines[2] == "1 error, 1 warning, 1 note; all of it: audit.json."
    assert lines[4] == "| severity | finding | what was found | what to do |"
    assert lines[6:9] == [
        r"| error | label-conflict | a \| b = c | Accepted by its name in the study file. |",
        f"| warning | bad-images | 3 images | {ADVICE['bad-images']} |",
        "| note | sizes | 1 size |  |",
    ]
    (tmp_path / "report.md").write_text("\n".join(lines))
    found = write_page(tmp_path).read_text()
    assert re.findall(r'<td class="(\w+)" data-sort="(\d)">(\w+)</td>', found) == [
        ("error", "0", "error"), ("warning", "1", "warning"), ("note", "2", "note"),
    ]  # fmt: skip


def test_the_counts_of_images_are_no_finding(finished: Finished, tmp_path: Path) -> None:
    assert (
        table(finished, tmp_path, AuditFinding("counts", "note", "train A: 3 images"))[2]
        == "No finding; all of it: audit.json."
    )


def test_of_many_findings_of_one_name_the_first_are_shown_with_the_number_of_the_others() -> None:
    many = [AuditFinding("prior", "note", str(number)) for number in range(150)]
    shown = [words for _, words in shown_findings([AuditFinding("sizes", "note", "s"), *many])]
    assert shown == ["s", "0", "1", "2; and 147 more like this, in audit.json"]
    assert [words for _, words in shown_findings(many[:4])] == ["0", "1", "2", "3"]


def test_every_error_and_warning_that_the_audit_can_find_has_its_advice() -> None:
    graves = set(get_args(Severity)) - {"note"}
    names = set()
    for path in ROOM.glob("*.py"):
        for match in NAME.finditer(path.read_text()):
            parts = [part for part in match.groups() if part]
            names |= (
                {parts[0]} if any(grave in "".join(parts[1:]) for grave in graves) or "everity" in parts[1] else set()
            )
    assert len(names) > 12
    for name in names | {"inverted", "blank", "modes-by-class"}:
        assert advice(AuditFinding(name, "warning", "x")), name
    assert not advice(AuditFinding("sizes", "note", "x"))


@pytest.mark.parametrize("name", ["patient-across-splits", "duplicate-across-splits", "label-conflict"])
def test_an_error_says_how_it_is_accepted(name: str) -> None:
    assert "audit.accept" in advice(AuditFinding(name, "error", "x"))
