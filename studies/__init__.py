"""What the notebooks compute, store, count and draw beyond a few lines.

Of all: `case` (one attack experiment, as a dataclass), with `deal` (who holds which images),
`describe` (from names to objects), `scores` (from a reconstruction to rows) and `accuracy` (trained
victims); `keys`, `cells` and `store` (stored results), and `remote` (one cell, in a worker
elsewhere); `papers` (what a paper prints), `report` (products, claims, captions), `verdicts` (does
a claim hold?), `plots` (house style) and `pictures` (small files).

Of each notebook a folder: `plan` (what it computes, in both profiles), `compute` (what only it
computes), its tables, drawings and claims. Nothing in lib knows them, and a study knows no other.
"""
