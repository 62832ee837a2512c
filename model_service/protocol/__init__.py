"""The wire contract between clients, gateway and workers: the Open Inference Protocol v2 and what we add to it.

Nothing here imports the rest of headrace, nor numpy: the gateway stays lean, and a tensor stays the bytes it came as.
"""
