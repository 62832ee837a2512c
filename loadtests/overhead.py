"""What a server costs around a model that costs nothing: a 64-32-10 MLP, one row a request, nothing cached."""

from loadtests.peers.known import PEERS
from loadtests.platform import serving
from loadtests.results import Result, figure, median, result
from loadtests.rounds import ROUNDS, Start, doubts, missing_peers, one_turn, peer_starts, rates
from loadtests.spec import Report

CONNECTIONS = 32
SECONDS, WARMUP_S = 6.0, 1.5
REPORTED_ONLY = "triton"  # a C++ server: its ratio is reported, and is no target


def measure() -> Result:
    """Headrace and every peer, by turns."""
    starts: dict[str, Start] = {"headrace": lambda: serving("overhead"), **peer_starts("overhead")}
    reports: dict[str, list[Report]] = {name: [] for name in starts}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        for name, start in starts.items():
            load = {"connections": CONNECTIONS, "seconds": SECONDS, "warmup_s": WARMUP_S}
            reports[name].append(one_turn(name, start, "overhead", **load))
    rate = rates(reports)
    held_to = {name: value for name, value in rate.items() if name not in ("headrace", REPORTED_ONLY)}
    figures = [
        figure(
            f"{name}: {CONNECTIONS} connections, JSON",
            value,
            "requests/s",
            notes=[
                f"p50 {median(reports[name], 'p50_ms'):.1f} ms, p99 {median(reports[name], 'p99_ms'):.1f} ms",
                *doubts(reports, name),
            ],
        )
        for name, value in rate.items()
    ]
    if held_to:
        best = max(held_to, key=lambda name: held_to[name])
        notes = [f"the fastest is {best}", *missing_peers("overhead")]
        figures.append(
            figure(
                "headrace against the fastest of MLServer, LitServe, BentoML and Ray Serve",
                rate["headrace"] / held_to[best],
                "x",
                at_least=2,
                notes=notes,
            )
        )
    if REPORTED_ONLY in rate:
        figures.append(figure("headrace against Triton", rate["headrace"] / rate[REPORTED_ONLY], "x"))
    versions = {peer.name: peer.version for peer in PEERS if peer.name in rate}
    about = "64-32-10 MLP, one row a request as JSON, closed loop, nothing cached, each peer with its batching on"
    return result("overhead", about, figures, {"reports": reports, "peers": versions})
