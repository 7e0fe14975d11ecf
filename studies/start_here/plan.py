"""What notebook 00 stores: nothing. Its attacks take seconds and run live in both profiles."""

from lib.run import Run


def declare(run: Run) -> None:
    """Declare no sweep; `make plan` asks every study."""
