"""LitServe: a JSON of its own."""

from loadtests.payloads import plain
from loadtests.peers.peer import Peer

DIALECT = plain(lambda item: {"x": item}, lambda body: body["y"])

PEER = Peer(
    name="litserve",
    distribution="litserve",
    command=("{bin}/python", "server.py"),
    ready="/health",
    infer="/predict",
    dialects={"overhead": DIALECT, "minilm": DIALECT},
    tuned={
        "overhead": {"MAX_BATCH": "32", "BATCH_TIMEOUT_S": "0.001", "WORKERS": "1", "API_SERVERS": "2"},
        "minilm": {"MAX_BATCH": "8", "BATCH_TIMEOUT_S": "0.005", "WORKERS": "2", "API_SERVERS": "1", "THREADS": "1"},
    },
)
