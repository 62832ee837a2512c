"""Triton 2.51: Open Inference Protocol, a C++ front, a python backend in processes apart that calls ONNX Runtime."""

from loadtests.payloads import oip
from loadtests.peers.peer import Peer

PEER = Peer(
    name="triton",
    distribution="nvidia-pytriton",
    release="2.51 with its python backend (nvidia-pytriton {version})",
    command=("{bin}/python", "start.py"),
    ready="/v2/models/{workload}/ready",
    infer="/v2/models/{workload}/infer",
    dialects={"overhead": oip("x"), "minilm": oip("text", flat=False), "large": oip("x")},
    tuned={
        "overhead": {"MAX_BATCH": "32", "QUEUE_DELAY_US": "100", "INSTANCES": "1", "HTTP_THREADS": "2"},
        "minilm": {"MAX_BATCH": "1", "QUEUE_DELAY_US": "100", "INSTANCES": "2", "HTTP_THREADS": "1", "THREADS": "1"},
        "large": {"MAX_BATCH": "32", "QUEUE_DELAY_US": "0", "INSTANCES": "2", "HTTP_THREADS": "2"},
    },
)
