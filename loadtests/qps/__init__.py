"""The headline: what the whole platform does at 1,000 requests a second on one machine, load generator included."""
