"""The numbers of a report, before any of them is shown."""
