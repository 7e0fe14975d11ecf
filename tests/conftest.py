"""The tests draw without a screen, and without exporting a backend that kernels would inherit."""

import gc

import matplotlib
import pytest

matplotlib.use("agg")

# The longest first: what is left at the end is short, and two workers end together.
LONG = ("test_pipeline", "test_cluster", "test_engine", "test_parity", "test_assignments",
        "test_cases", "test_diagnose", "test_case", "test_graph_files", "test_attacks",
        "test_batching", "test_aggregation", "test_realistic", "test_studies", "test_audit")


def pytest_collection_modifyitems(items):
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def pytest_collection_finish():
    """What was imported for all tests stays: garbage is looked for among what came later."""
    gc.collect()
    gc.freeze()


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
