"""BentoML: a JSON of its own."""

from loadtests.payloads import plain
from loadtests.peers.peer import Peer

DIALECT = plain(lambda item: {"x": [item]})

PEER = Peer(
    name="bentoml",
    distribution="bentoml",
    command=("{bin}/bentoml", "serve", "service:service", "--host", "127.0.0.1", "--port", "{port}"),
    environment={
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": "{scratch}",
    },
    ready="/readyz",
    infer="/infer",
    dialects={"overhead": DIALECT, "minilm": DIALECT},
    tuned={
        "overhead": {"MAX_BATCH": "32", "MAX_LATENCY_MS": "60000", "WORKERS": "3"},
        "minilm": {"MAX_BATCH": "8", "MAX_LATENCY_MS": "60000", "WORKERS": "2", "THREADS": "1"},
    },
)
