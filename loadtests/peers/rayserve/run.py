"""Ray Serve: whatever JSON the deployment reads."""

from loadtests.payloads import plain
from loadtests.peers.peer import Peer

PEER = Peer(
    name="rayserve",
    distribution="ray",
    command=("{bin}/python", "server.py"),
    environment={
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    },
    ready="/-/healthz",
    infer="/infer",
    dialects={"overhead": plain(lambda item: {"x": item})},
    tuned={
        "overhead": {"REPLICAS": "1", "BATCH_TIMEOUT_S": "0.0"},
    },
)
