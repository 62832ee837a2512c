"""What a task is to whoever asks a model: one module each, with its contract.

Gateways, importers, workers and the training backend read it, and name no task themselves. The module of the same name
in `model_service/tasks` does the work.
"""
