"""Locust scenarios: open loops, whose latency counts from when each request was due."""
