"""What stands before and after a model's own tensors: one file a family.

Another family (images, audio) is one more file here and one more case in `open.py`: its `prepare` decodes a row into
arrays and its `respond` makes tensors of results, while the batcher and the engines stay as they are.
A family whose answer comes in parts or takes many runs (generation) brings an engine that owns its loop; what it
yields for one run of an item is still that item's result.
"""
