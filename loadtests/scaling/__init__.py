"""How many replicas a day takes, by the formulas that the manifests set, and what is full first: docs/scaling.md."""
