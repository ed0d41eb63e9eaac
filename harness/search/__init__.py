"""Searches over settings by Optuna: the only part of the harness that imports it. Start reading in run.py."""
