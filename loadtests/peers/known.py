"""The servers that headrace is compared with."""

from typing import Final

from loadtests.peers.bentoml.run import PEER as BENTOML
from loadtests.peers.litserve.run import PEER as LITSERVE
from loadtests.peers.mlserver.run import PEER as MLSERVER
from loadtests.peers.rayserve.run import PEER as RAYSERVE
from loadtests.peers.triton.run import PEER as TRITON

PEERS: Final = (MLSERVER, LITSERVE, BENTOML, RAYSERVE, TRITON)
