"""Tests, benches and checks: none of them touches the ledger of looks that the user has on this machine."""

import os

os.environ["XDG_STATE_HOME"] = f"{os.devnull}/none"  # no place for a ledger; `machine_ledger` gives a test its own
