"""Faults and load as commands: `python -m bench.faults.chaos` and `python -m bench.faults.load`."""
