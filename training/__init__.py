"""Produces artifacts: folders of files with a manifest, ready to be imported."""
