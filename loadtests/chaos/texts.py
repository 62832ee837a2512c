"""Short texts for the demo model minilm, with the vectors that ONNX Runtime gives without any server."""

import json

from loadtests.chaos.client import Question
from loadtests.models import minilm_folder
from loadtests.peers.served.onnx_models import MiniLM
from loadtests.platform import artifact
from loadtests.sentences import sentences
from loadtests.target import TOLERANCE
from storage.importers import Import

COUNT = 40


def minilm() -> Import:
    """The model, nothing of it cached."""
    return artifact("minilm")


def texts() -> list[Question]:
    """One text a request."""
    model = MiniLM(minilm_folder())
    short = sorted(sentences(), key=len)[:COUNT]
    return [
        Question(
            path="/v2/models/minilm/infer",
            body=json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}),
            answer=[float(value) for value in model([text])[0]],
            tolerance=TOLERANCE,
        )
        for text in short
    ]
