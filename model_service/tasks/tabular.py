"""Rows of numbers: served as raw tensors are. The task `tabular`."""

from model_service.tasks.tensors import open_task

__all__ = ["open_task"]
