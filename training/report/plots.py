"""The plots of a report, as SVG: the same figures give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure as Canvas

from training.report.content import Figure

SIZE: Final = (6.4, 3.6)
SMALL: Final = (4.2, 3.6)
BLUE, ORANGE, GREY = "#2f6f9f", "#d9822b", "#9aa5ad"
# Text stays text, and no identifier is drawn at random.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "headrace",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e9eb",
    "axes.axisbelow": True,
    "font.size": 9,
}


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> Figure:
    """A line for each name, through its points."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(SIZE, layout="constrained")
        axes = canvas.subplots()
        for (name, points), colour in zip(lines.items(), (BLUE, ORANGE, GREY), strict=False):
            marker = "o" if len(points) < 20 else ""
            axes.plot(*zip(*points, strict=True), label=name, color=colour, marker=marker, markersize=3)
        axes.set(xlabel=x, ylabel=y)
        axes.legend(frameon=False)
        return Figure(title, _svg(canvas))


def bars(title: str, values: Mapping[str, float], x: str) -> Figure:
    """A bar for each name, the first on top, with its value beside it."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas((SIZE[0], 0.8 + 0.3 * len(values)), layout="constrained")
        axes = canvas.subplots()
        drawn = axes.barh(list(values), list(values.values()), color=BLUE)
        axes.bar_label(drawn, [f"{value:,.4g}" for value in values.values()], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=x)
        return Figure(title, _svg(canvas))


def confusion(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """Counts of answers (across) for each true label (down), darker where more of that label's rows are."""
    with matplotlib.rc_context({**_STYLE, "axes.grid": False}):
        side = max(SMALL[1], 0.55 * len(labels) + 1.5)
        canvas = Canvas((side + 0.6, side), layout="constrained")
        axes = canvas.subplots()
        shares = [[count / max(1, sum(row)) for count in row] for row in counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, (of_row, share) in enumerate(zip(counts, shares, strict=True)):
            for column, count in enumerate(of_row):
                dark = share[column] > 0.5
                axes.text(column, row, f"{count}", ha="center", va="center", color="white" if dark else "black")
        places = range(len(labels))
        axes.set_xticks(places, labels, rotation=45 if max(map(len, labels)) > 8 else 0)
        axes.set_yticks(places, labels)
        axes.set(xlabel="answered", ylabel="true")
        return Figure(title, _svg(canvas))


def reliability(title: str, bins: Sequence[Mapping[str, Any]]) -> Figure:
    """How often the answers of a score were right; on the diagonal a score is a probability."""
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(SMALL, layout="constrained")
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        centres = [(one["low"] + one["high"]) / 2 for one in bins]
        width = min((one["high"] - one["low"] for one in bins), default=0.1)
        axes.bar(centres, [one["right"] for one in bins], width=0.9 * width, color=BLUE, alpha=0.5, label="right")
        axes.plot([one["score"] for one in bins], [one["right"] for one in bins], "o", color=ORANGE, label="mean score")
        axes.set(xlabel="score", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(frameon=False, loc="upper left")
        return Figure(title, _svg(canvas))


def _svg(canvas: Canvas) -> str:
    file = io.StringIO()
    canvas.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]  # what stands before is for a file of its own
