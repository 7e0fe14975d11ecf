"""What one notebook alone computes: a module a notebook, functions like those of `lib.experiment`.

Pure functions from a config to (table, arrays), which `lib.results.sweep` stores. They build on all
of `lib`; nothing in `lib` knows them, and none knows another. What two notebooks need goes to lib.
"""
