"""The tables of days, steps and idle days in docs/scaling.md."""

from math import ceil
from typing import Any

from loadtests.scaling.activation import DAYS
from loadtests.scaling.autoscaler import SYNC_S
from loadtests.scaling.runs import HOURS_OF, LATE_S, STEP_FROM
from loadtests.scaling.simulate import START_S


def days_section(rounds: dict[str, Any]) -> str:
    """A day at every peak, and one of them by the hour."""
    busy = rounds["manifests"]["worker"]["cpu"]
    a_core = busy * rounds["measured"]["envoy_rate"]
    shipped = rounds["manifests"]["envoys"] * rounds["manifests"]["envoy_cores"]
    rows = [
        f"| {run['workload']} | {run['peak']:,} | {'as shipped' if run['limited'] else ''} |"
        f" {_counts(run['workers'])} | {_counts(run['gateways'])} | {run['core_hours']:,.0f} |"
        f" {run['core_hours_at_most']:,.0f} | {24 * max(shipped, ceil(run['peak'] / a_core)):,.0f} |"
        f" {_ms(run['wait_mean_ms'])} | {_ms(run['wait_p99_ms'])} | {_ms(run['wait_max_ms'])} | {run['refused']:.1%} |"
        for run in rounds["days"]
    ]
    hours = [
        f"| {hour:02}:00 | {each['rate']:,.0f} | {_range(each['workers'])} | {_range(each['gateways'])} |"
        f" {_ms(each['wait_ms'])} |"
        for hour, each in enumerate(rounds["hours"])
    ]
    worker, gateway = rounds["manifests"]["worker"], rounds["manifests"]["gateway"]
    return "\n".join(
        [
            "## A day\n",
            "Replicas as least / mean / most. Core-hours are the cores that gateways and workers ask for"
            f" ({gateway['cores']:g} and {worker['cores']:g}), beside what the day's most replicas would take all day."
            " Waits are the mean of each second, in both queues together; their p99 and greatest.\n",
            f"As shipped there are at most {worker['maximum']} workers and {gateway['maximum']} gateways. Where a day"
            " needs more it is shown without that limit, and then with it. Envoy, Redis and PostgreSQL are taken to be"
            " enough for each day. Envoy is not scaled: what is shipped or, where that is less, cores that the peak"
            f" keeps {busy:.0%} busy, all day long, are a column of their own.\n",
            "| model | peak, requests/s | limit | workers | gateways | core-hours | at most all day | Envoy's |"
            " mean wait, ms | p99 | greatest | refused |",
            "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"By the hour, {HOURS_OF[0]} with a peak of {HOURS_OF[1]:,} requests/s (in the evening it falls to"
            f" {rounds['trace']['lowest']:.0%} of the peak, and comes back in a burst):\n",
            "| from | requests/s | workers | gateways | mean wait, ms |",
            "| --- | ---: | ---: | ---: | ---: |",
            *hours,
            "",
        ]
    )


def steps_section(rounds: dict[str, Any]) -> str:
    """A load that grows from one second to the next."""
    rows = [
        f"| {step['factor']:g} x | {step['workers'][0]} | {step['workers'][1]} | {step['late_s']} s |"
        f" {_ms(step['wait_max_ms'])} | {step['refused']:.1%} |"
        for step in rounds["steps"]
    ]
    worker = rounds["manifests"]["worker"]
    seen = START_S["worker"] + worker["seen_after_s"]
    return "\n".join(
        [
            "## A step\n",
            f"minilm at {STEP_FROM:,.0f} requests/s, and from one second to the next a multiple of it, with the limits"
            f" as shipped. The room that {worker['cpu']:.0%} CPU leaves takes up what is less than"
            f" {1 / worker['cpu']:.1f} x. More waits until workers have come: up to {SYNC_S} s until the autoscaler"
            f" looks, then {seen} s until Envoy knows them.\n",
            f"| load | workers before | most after | wait over {LATE_S * 1000:g} ms | greatest wait, ms | refused |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "More workers are asked for than the load needs, as a queue says that there are too few and not how many"
            " are missing. Gateways are added too: what waits for a worker is in flight in a gateway. That helps no"
            " worker and lets the queue grow, as each gateway holds"
            f" {rounds['measured']['services']['minilm']['gateway_room']:,} requests before it refuses one. Who must"
            " answer fast or not at all lowers `HEADRACE_GATEWAY_MAX_IN_FLIGHT` or sends a deadline. Who knows when the"
            " load comes raises `minReplicaCount` before.\n",
        ]
    )


def idle_section(rounds: dict[str, Any]) -> str:
    """Few requests, and no worker between them."""
    rows = [
        f"| {idle['requests']:,} | {idle['awake']:.0%} | {idle['core_hours']:.1f} | {idle['core_hours_at_least']:.0f} |"
        f" {idle['wakes']:.1f} | {idle['cold']:.1%} | {idle['wait_mean_s']:.0f} s | {idle['wait_max_s']} s |"
        for idle in rounds["idle"]
    ]
    rules, worker = rounds["activation"], rounds["manifests"]["worker"]
    ready = START_S["worker"] + worker["seen_after_s"]
    return "\n".join(
        [
            "## To zero\n",
            f"With `components/scale-to-zero` there is no worker after {rules['cooldown_s'] // 60} minutes in which"
            " nobody asked. Who asks then is told to come back, and does, every second. Prometheus sees it at its next"
            f" scrape (up to {rules['scrape_s']} s), KEDA at its next look (up to {rules['polling_s']} s), and"
            f" {ready} s later the worker is there. Means over {DAYS} days, on each of which so many requests come by"
            " chance, in the course of the recorded day.\n",
            "| requests a day | of the day with a worker | core-hours of workers | at least without it | starts a day |"
            " requests that wait for one | mean wait | longest |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "It saves while requests come rarely. Where they come in every quarter of an hour, a worker is always"
            f" there, and what is left of the saving is that it is one instead of {worker['minimum']}. Gateways and"
            " Envoy stay.\n",
        ]
    )


def _counts(counts: list[float]) -> str:
    least, mean, most = counts
    return f"{least:,} / {mean:,.1f} / {most:,}" if mean < 100 else f"{least:,} / {mean:,.0f} / {most:,}"


def _range(counts: list[int]) -> str:
    return f"{counts[0]:,}" if counts[0] == counts[1] else f"{counts[0]:,} - {counts[1]:,}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.005 else "0"
