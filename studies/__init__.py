"""What the notebooks compute, store, count and draw beyond a few lines.

For all: `case` (from a config to rows), `cells`, `keys` and `store` (stored results), `verdicts`,
`report` (products, claims, captions), `plots` (house style). For each notebook a folder: `plan`
(what it computes in both profiles), `compute` (what only it computes), and its tables, drawings and
claims. Nothing in lib knows them; a study knows no other.
"""
