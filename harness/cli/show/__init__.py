"""The tables and texts that commands print."""
