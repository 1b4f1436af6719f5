"""Charts as SVG, which take the colours of the page."""

import html
import math
from collections.abc import Mapping, Sequence

Series = Mapping[str, Sequence[tuple[float, float]]]

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 26  # margins
COLOURS = 8  # series that have a colour of their own


def lines(title: str, series: Series, x_label: str = "step") -> str:
    """A chart of lines; "" if there is nothing to draw.

    Args:
        title: what the values are.
        series: {name: [(x, y), ...]}, x ascending; points that are not finite are left out.
        x_label: what x is.
    """
    series = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    every = [point for points in series.values() for point in points]
    y_ticks = ticks(min(y for _, y in every), max(y for _, y in every), 4)
    x_ticks = ticks(min(x for x, _ in every), max(x for x, _ in every), 4)
    # Up and down the axis ends at a round number; across, it ends with the points.
    last = max(x for x, _ in every)
    x_range = (x_ticks[0], last if last > x_ticks[0] else x_ticks[-1])
    place = placer(x_range, (y_ticks[0], y_ticks[-1]))
    parts = [axes([tick for tick in x_ticks if tick <= x_range[1]], y_ticks, place)]
    for number, (name, points) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        last_x, last_y = place(*points[-1])
        parts.append(
            f'<g class="c{number % COLOURS}"><polyline points="{path}"/>'
            f'<circle cx="{last_x:.1f}" cy="{last_y:.1f}" r="2.5">'
            f"<title>{html.escape(name)}: {points[-1][1]:.4g}</title></circle></g>"
        )
    legend = "".join(
        f'<span class="c{number % COLOURS}">{html.escape(name)} <b>{points[-1][1]:.4g}</b></span>'
        for number, (name, points) in enumerate(series.items())
    )
    return (
        f'<figure class="chart"><figcaption>{html.escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)} by '
        f'{html.escape(x_label)}">{"".join(parts)}</svg><div class="legend">{legend}</div></figure>'
    )


def placer(x_range, y_range):
    """A function (x, y) -> (x, y) of the picture, for ranges (low, high)."""
    (x_low, x_high), (y_low, y_high) = x_range, y_range

    def place(x, y):
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )

    return place


def axes(x_ticks, y_ticks, place):
    parts = []
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
            f'<text x="{x - 5:.1f}" y="{y + 3.5:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts.append(
            f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{short(tick)}</text>'
        )
    return "".join(parts)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers, about `count`, that span two values; at least two of them."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = power * min((factor for factor in (1, 2, 5, 10) if factor * power >= rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def short(value: float) -> str:
    """A number of an axis: 12k, 0.25."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{round(value, 10):g}"
