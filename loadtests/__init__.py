"""Measures headrace and its peers on one machine: `python -m loadtests` runs all, `python -m loadtests <name>` one."""
