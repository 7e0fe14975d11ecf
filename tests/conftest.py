"""The tests draw without a screen, and without exporting a backend that kernels would inherit."""

import matplotlib

matplotlib.use("agg")
