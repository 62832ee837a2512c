"""What a server costs around a model that costs nothing: a 64-32-10 MLP, one row a request, nothing cached."""

from loadtests.peers.known import PEERS
from loadtests.platform import serving
from loadtests.results import Figure, Result, figure, median, result
from loadtests.rounds import ROUNDS, Start, doubts, missing_peers, one_turn, peer_starts, rates
from loadtests.spec import Report

CONNECTIONS = (32, 256)
SECONDS, WARMUP_S = 6.0, 1.5
TRITON = "triton"  # a C++ server: held to a target of its own


def measure() -> Result:
    """Headrace and every peer, by turns."""
    starts: dict[str, Start] = {"headrace": lambda: serving("overhead"), **peer_starts("overhead")}
    reports: dict[int, dict[str, list[Report]]] = {of: {name: [] for name in starts} for of in CONNECTIONS}
    for number in range(ROUNDS):
        for connections, of_servers in reports.items():
            print(f"round {number + 1} of {ROUNDS}, {connections} connections")
            for name, start in starts.items():
                load = {"connections": connections, "seconds": SECONDS, "warmup_s": WARMUP_S}
                of_servers[name].append(one_turn(name, start, "overhead", **load))
    figures = [figure for connections, of_servers in reports.items() for figure in _figures(connections, of_servers)]
    versions = {peer.name: peer.version for peer in PEERS if peer.name in starts}
    about = "64-32-10 MLP, one row a request as JSON, closed loop, nothing cached, each peer with its batching on"
    return result("overhead", about, figures, {"reports": reports, "peers": versions})


def _figures(connections: int, reports: dict[str, list[Report]]) -> list[Figure]:
    rate = rates(reports)
    figures = [
        figure(
            f"{name}: {connections} connections, JSON",
            value,
            "requests/s",
            notes=[
                f"p50 {median(reports[name], 'p50_ms'):.1f} ms, p99 {median(reports[name], 'p99_ms'):.1f} ms",
                *doubts(reports, name),
            ],
        )
        for name, value in rate.items()
    ]
    held_to = {name: value for name, value in rate.items() if name not in ("headrace", TRITON)}
    if held_to:
        best = max(held_to, key=lambda name: held_to[name])
        what = f"headrace against the fastest of MLServer, LitServe, BentoML and Ray Serve, {connections} connections"
        notes = [f"the fastest is {best}", *missing_peers("overhead")]
        figures.append(figure(what, rate["headrace"] / held_to[best], "x", at_least=2, notes=notes))
    if TRITON in rate:
        ratio = rate["headrace"] / rate[TRITON]
        figures.append(figure(f"headrace against Triton, {connections} connections", ratio, "x", at_least=1))
    return figures
