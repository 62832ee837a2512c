"""What stands before and after a model's own tensors: one module a task, called as its contract in `wire/tasks` is.

Another task (images, audio) is one more module here with an `open_task`: its `prepare` decodes a row into arrays and
its `respond` makes tensors of results, while the batcher and the engines stay as they are.
A family whose answer comes in parts or takes many runs (generation) brings an engine that owns its loop; what it
yields for one run of an item is still that item's result.
"""
