"""Faults under load: a platform of its own for each, clients that check every answer, and what the fault cost them."""
