"""The audit: what a reader must know about the images before trusting a number; its errors stop a run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

from harness.data.checks import findings, left_out
from harness.data.dataset import Dataset
from harness.data.decode import DECODER, Counting
from harness.data.finding import AuditFinding, Severity
from harness.data.folds import Fold
from harness.errors import LeakageError
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study import Study
from harness.study.identity import digest
from harness.study.study import Acceptable

ERRORS: tuple[str, ...] = get_args(Acceptable)  # the names of findings that stop a run
AUDIT_VERSION = 9  # raise it when the audit finds something else in the same data


@dataclass(frozen=True)
class Audit:
    """All findings, errors first."""

    manifest: str
    findings: list[AuditFinding]

    @property
    def blocking(self) -> list[AuditFinding]:
        """The errors that the study file does not accept."""
        return [finding for finding in self.findings if finding.severity == "error" and not finding.accepted]

    def named(self, name: str) -> list[AuditFinding]:
        """The findings of this name."""
        return [finding for finding in self.findings if finding.name == name]

    def to_json(self, marks: Sequence[str] | None = None) -> str:
        """The audit as JSON text. marks: the warnings on every number of the study, where they are to be in it."""
        return json.dumps(({} if marks is None else {"marks": list(marks)}) | asdict(self), indent=1)


def audit_study(
    study: Study, dataset: Dataset, folds: list[Fold], store: Store, counting: Counting = lambda *_: None
) -> Audit:
    """Audit the images and folds of a study; an earlier audit of the same data is read from the store.

    The decoded images and the findings are cached for the run, unless an error stops it: then nothing is written.
    """
    spec = study.model_dump(include={"audit": True, "folds": True, "data": {"image_size", "patient"}})
    skipped = dataset.skipped and dict(dataset.skipped.reasons)
    sizes, rules = sorted(dataset.table["size"].tolist()), dataset.pixel_rules
    metadata = [dataset.metadata_digest, *study.subgroups] if dataset.metadata else []
    more = [*metadata, *([dataset.sets, dataset.sets_digest] if dataset.further_sets else [])]
    key = digest([AUDIT_VERSION, DECODER, dataset.digest, sizes, spec, skipped, *rules.in_keys, *more])
    path = store.cache / "audit" / f"{key}.json"
    stored = read_json(path)
    if stored is not None:
        return _with_left_out(
            Audit(stored["manifest"], [AuditFinding(**finding) for finding in stored["findings"]]), dataset
        )
    with store.draft() as draft:
        found = sorted(findings(study, dataset, folds, draft, counting), key=lambda f: _rank(f.severity))
        accept = study.audit.accept
        audit = Audit(
            dataset.digest, [AuditFinding(f.name, f.severity, f.text, f.facts, f.name in accept) for f in found]
        )
        if not audit.blocking:
            write_atomic(draft.cache / "audit" / path.name, audit.to_json().encode())
            store.keep(draft)
    return _with_left_out(audit, dataset)


def _with_left_out(audit: Audit, dataset: Dataset) -> Audit:
    """Add the files that are not read to the audit; they are not cached, as they may change when the images do not."""
    found = [*left_out(dataset), *audit.findings]
    return replace(audit, findings=sorted(found, key=lambda finding: _rank(finding.severity)))


def require_clean(audit: Audit) -> None:
    """Raise LeakageError for the first error that the study file does not accept."""
    if audit.blocking:
        first = audit.blocking[0]
        more = f" (and {len(audit.blocking) - 1} more errors: harness audit STUDY)" if len(audit.blocking) > 1 else ""
        raise LeakageError(
            f"{first.name}: {first.text}; fix the images, or accept it by name: audit: {{accept: [{first.name}]}}{more}"
        )


def _rank(severity: Severity) -> int:
    return get_args(Severity).index(severity)
