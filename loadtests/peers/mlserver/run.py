"""MLServer: Open Inference Protocol, a process for REST and a pool of processes for inference."""

from loadtests.payloads import oip
from loadtests.peers.peer import Peer

PEER = Peer(
    name="mlserver",
    distribution="mlserver",
    command=("{bin}/mlserver", "start", "{workload}"),
    environment={
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_METRICS_DIR": "{scratch}",
        "MLSERVER_ENVIRONMENTS_DIR": "{scratch}",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_GZIP_ENABLED": "false",
    },
    ready="/v2/models/{workload}/ready",
    infer="/v2/models/{workload}/infer",
    dialects={"overhead": oip("x"), "minilm": oip("text")},
    tuned={
        "overhead": {
            "MLSERVER_MODEL_MAX_BATCH_SIZE": "32",
            "MLSERVER_MODEL_MAX_BATCH_TIME": "0.0005",
            "MLSERVER_PARALLEL_WORKERS": "0",
        },
        "minilm": {
            "MLSERVER_MODEL_MAX_BATCH_SIZE": "8",
            "MLSERVER_MODEL_MAX_BATCH_TIME": "0.005",
            "MLSERVER_PARALLEL_WORKERS": "2",
            "THREADS": "1",
        },
    },
)
