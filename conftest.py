"""What nbval leaves uncompared: what differs from machine to machine without meaning anything."""

import os

# A kernel takes its inline backend only where none is exported.
os.environ.pop("MPLBACKEND", None)


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += (
            "text/html", "application/javascript", "stderr", "application/pdf", "image/svg+xml")
