"""The tests draw without a screen, and without exporting a backend that kernels would inherit."""

import matplotlib
import pytest

matplotlib.use("agg")

LONG = ("test_site", "test_assignments", "test_cluster", "test_pipeline")  # they start processes


def pytest_collection_modifyitems(items):
    """The long ones first: what is left at the end is short, and two workers end together."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A study whose cells and products lie in a folder of the test's own: that folder."""
    import storing

    from lib import files, run
    from studies import store

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    monkeypatch.setattr(run, "_current", None)
    monkeypatch.setattr(store, "_study", None)
    (tmp_path / "data/published").mkdir(parents=True)
    for name in ("FRESH", "PROFILE", "DATA_ROOT", "PRODUCTS"):
        monkeypatch.delenv(name, raising=False)
    storing.calls.clear()
    storing.begin()
    return tmp_path
