"""Real sentences under saturation: headrace against bare ONNX Runtime, and against the best peer. Nothing cached."""

import os
import statistics

from loadtests.bare import BATCHES, side_by_side
from loadtests.peers.known import PEERS
from loadtests.platform import serving
from loadtests.results import Figure, Result, figure, median, result
from loadtests.rounds import ROUNDS, Start, doubts, missing_peers, one_turn, peer_starts, rates
from loadtests.sentences import COUNT
from loadtests.spec import Report

IN_FLIGHT = 256
SECONDS, WARMUP_S = 8.0, 2.0


def measure() -> Result:
    """Bare runs, headrace and every peer, by turns."""
    cores = len(os.sched_getaffinity(0))
    starts: dict[str, Start] = {"headrace": lambda: serving("minilm"), **peer_starts("minilm")}
    reports: dict[str, list[Report]] = {name: [] for name in starts}
    # One process with a thread a core, as it is held to; and a process a core, which is what two workers amount to.
    bare: dict[str, list[float]] = {f"{batch} x {p}": [] for batch in BATCHES for p in (1, cores)}
    tokenise_us: list[float] = []
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        for name in bare if number == 0 else _best_of_each(bare, cores):
            batch, processes = map(int, name.split(" x "))
            done = side_by_side("minilm", "sample", batch, processes, cores // processes)
            bare[name].append(done["rate"])
            tokenise_us.append(done["tokenise_us"])
            print(f"  bare, batches of {batch:2}, {processes} processes {bare[name][-1]:8.1f}/s", flush=True)
        for name, start in starts.items():
            load = {"connections": IN_FLIGHT, "seconds": SECONDS, "warmup_s": WARMUP_S}
            reports[name].append(one_turn(name, start, "minilm", **load))
    bare_rates = {name: statistics.median(found) for name, found in bare.items()}
    tokenise = statistics.median(tokenise_us)
    figures = [
        *_servers(reports),
        *_against_bare(rates(reports)["headrace"], bare_rates, tokenise, cores),
        *_against_peers(rates(reports)),
    ]
    about = f"{COUNT:,} real sentences of mixed length, one a request as JSON, {IN_FLIGHT} in flight, nothing cached"
    versions = {peer.name: peer.version for peer in PEERS if peer.name in reports}
    rounds = {"reports": reports, "bare": bare, "tokenise_us": tokenise_us, "peers": versions}
    return result("minilm", about, figures, rounds)


def _best_of_each(bare: dict[str, list[float]], cores: int) -> list[str]:
    """The fastest batch size of either kind, as the first round has it: the only ones worth more rounds."""
    kinds = [[name for name in bare if name.endswith(f" x {processes}")] for processes in (1, cores)]
    return [max(names, key=lambda name: bare[name][0]) for names in kinds]


def _servers(reports: dict[str, list[Report]]) -> list[Figure]:
    return [
        figure(
            f"{name}: {IN_FLIGHT} in flight",
            median(of_server, "rate"),
            "sentences/s",
            notes=[
                f"p50 {median(of_server, 'p50_ms'):.0f} ms, p99 {median(of_server, 'p99_ms'):.0f} ms",
                *doubts(reports, name),
            ],
        )
        for name, of_server in reports.items()
    ]


def _against_bare(rate: float, bare: dict[str, float], tokenise_us: float, cores: int) -> list[Figure]:
    figures = []
    for processes, threads, held in ((1, cores, 0.9), (cores, 1, None)):
        of_kind = {name: value for name, value in bare.items() if name.endswith(f" x {processes}")}
        best = max(of_kind, key=lambda name: of_kind[name])
        of_each = ", ".join(f"{name.split()[0]}: {value:.0f}/s" for name, value in of_kind.items())
        what = f"headrace against bare InferenceSession.run, {processes} x {threads} threads, sorted by length"
        notes = [
            f"best in batches of {best.split()[0]} ({of_each})",
            f"its tokenisation, apart: {tokenise_us:.0f} us of a core for a sentence, which headrace's figure includes",
        ]
        figures.append(figure(what, rate / of_kind[best], "x", at_least=held, notes=notes))
    return figures


def _against_peers(rate: dict[str, float]) -> list[Figure]:
    peers = {name: value for name, value in rate.items() if name != "headrace"}
    if not peers:
        return []
    best = max(peers, key=lambda name: peers[name])
    notes = [f"the best is {best}", *missing_peers("minilm")]
    return [figure("headrace against the best peer", rate["headrace"] / peers[best], "x", at_least=1.3, notes=notes)]
