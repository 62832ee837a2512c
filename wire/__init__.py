"""What crosses a process boundary: tensors and messages of the Open Inference Protocol v2, errors, header names, tasks.

Nothing of ours is imported here, nor numpy: the gateway stays lean, and a tensor stays the bytes it came as.
"""
