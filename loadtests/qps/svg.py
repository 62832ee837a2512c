"""Line charts one below the other as SVG, in whole pixels: ten kilobytes for what takes matplotlib seventy."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

COLOURS: Final = ("#1f77b4", "#d95f02", "#2a9d55", "#c2185b", "#7b5cc4", "#8a6d3b", "#e0a100", "#4d4d4d")
LEFT, RIGHT, WIDTH, HEIGHT, GAP, FOOT = 60, 150, 900, 130, 16, 40
STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#444}.g{stroke:#ddd}.f{fill:none;stroke:#999}"
    "polyline{fill:none;stroke-width:1.2}.bar{stroke:#888;stroke-dasharray:2 3}"
)


@dataclass(frozen=True)
class Line:
    """Points of one thing; y is None where there is none. Drawn as dots where nothing leads from one to the next."""

    name: str
    points: Sequence[tuple[float, float | None]]
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart: `bar` is a level to compare with, with its name."""

    label: str
    lines: Sequence[Line]
    log: bool = False
    bar: tuple[str, float] | None = None


def draw(panels: Sequence[Panel], x_label: str, mark_x: float | None = None) -> str:
    """The charts over one axis, `mark_x` a line down through all of them."""
    xs = [x for panel in panels for line in panel.lines for x, _ in line.points]
    low, step = min(xs), _step(max(xs) - min(xs), 8)
    x_ticks = [step * index for index in range(math.ceil(low / step), math.floor(max(xs) / step) + 1)]
    right = WIDTH - RIGHT

    def across(x: float) -> int:
        return round(LEFT + (x - low) / ((max(xs) - low) or 1) * (right - LEFT))

    height = len(panels) * (HEIGHT + GAP) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for index, panel in enumerate(panels):
        top = index * (HEIGHT + GAP) + GAP // 2
        for x in x_ticks:
            parts.append(f'<path class="g" d="M{across(x)} {top}v{HEIGHT}"/>')
        if mark_x is not None:
            parts.append(f'<path class="f" d="M{across(mark_x)} {top}v{HEIGHT}"/>')
        parts += _panel(panel, top, [(line, [(across(x), y) for x, y in line.points]) for line in panel.lines])
    foot = height - FOOT + 12
    parts += [f'<text x="{across(x)}" y="{foot}" text-anchor="middle">{x:,g}</text>' for x in x_ticks]
    parts.append(f'<text x="{(LEFT + right) // 2}" y="{foot + 18}" text-anchor="middle">{escape(x_label)}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, top: int, lines: Iterable[tuple[Line, list[tuple[int, float | None]]]]) -> Iterable[str]:
    values = [y for line in panel.lines for _, y in line.points if y is not None and (y > 0 or not panel.log)]
    values += [panel.bar[1]] if panel.bar else []
    low, high, ticks = _logarithmic(values) if panel.log else _linear(values)

    def up(y: float) -> int:
        share = (math.log10(max(y, low) / low) / math.log10(high / low)) if panel.log else (y - low) / (high - low)
        return round(top + HEIGHT - share * HEIGHT)

    right = WIDTH - RIGHT
    for y in ticks:
        yield f'<path class="g" d="M{LEFT} {up(y)}h{right - LEFT}"/>'
        yield f'<text x="{LEFT - 5}" y="{up(y) + 4}" text-anchor="end">{y:,g}</text>'
    yield f'<path class="f" d="M{LEFT} {top}v{HEIGHT}h{right - LEFT}"/>'
    middle = top + HEIGHT // 2
    yield f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(panel.label)}</text>'
    for index, (line, points) in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        if line.dots:
            yield from (f'<circle cx="{x}" cy="{up(y)}" r="3" fill="{colour}"/>' for x, y in points if y is not None)
        else:
            for run in _unbroken(points):
                yield f'<polyline stroke="{colour}" points="{" ".join(f"{x},{up(y)}" for x, y in run)}"/>'
        yield f'<text x="{right + 8}" y="{top + 12 + 15 * index}" style="fill:{colour}">{escape(line.name)}</text>'
    if panel.bar:
        yield f'<path class="bar" d="M{LEFT} {up(panel.bar[1])}h{right - LEFT}"/>'
        yield f'<text x="{right + 8}" y="{up(panel.bar[1]) + 4}">{escape(panel.bar[0])}</text>'


def _unbroken(points: Iterable[tuple[int, float | None]]) -> list[list[tuple[int, float]]]:
    """The line in pieces, without the seconds of which nothing is known."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for x, y in points:
        if y is not None:
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _step(span: float, at_most: int) -> float:
    """1, 2 or 5 times a power of ten, so that there are at most so many steps in it."""
    rough = (span or 1) / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _linear(values: Sequence[float]) -> tuple[float, float, list[float]]:
    step = _step(max(values, default=1) or 1, 4)
    count = max(1, math.ceil(max(values, default=1) / step))
    return 0.0, count * step, [step * index for index in range(count + 1)]


def _logarithmic(values: Sequence[float]) -> tuple[float, float, list[float]]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    return 10.0**low, 10.0**high, [10.0**power for power in range(low, high + 1)]
