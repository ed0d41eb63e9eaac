"""What can go wrong, each kind with the exit code that it ends the command with."""


class HarnessError(Exception):
    """One line for the user: what was given, what is allowed, how to mend it."""

    exit_code = 2


class StudyError(HarnessError):
    """The request is wrong: the study file, an option, a name."""


class DataError(HarnessError):
    """The images are wrong: a missing folder, an empty class, an unreadable file.

    field: the place in the study file that is to blame, where the one who raises it knows.
    """

    def __init__(self, message: str, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field


class LeakageError(DataError):
    """The same image or patient would stand on both sides of a split."""


class TrackingError(HarnessError):
    """The tracking server was lost; the results are stored all the same."""

    exit_code = 4


class BusyError(HarnessError):
    """Another runner holds this study in this store."""

    exit_code = 3


class Stopped(BaseException):
    """A signal asked the run to end; not an Exception, so that no job handler swallows it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number


class JobError(Exception):
    """One job failed; the others go on. Returned as an outcome, never raised past an executor."""

    def __init__(self, job_id: str, reason: str, details: str = "") -> None:
        super().__init__(job_id, reason, details)
        self.job_id = job_id
        self.reason = reason
        self.details = details
