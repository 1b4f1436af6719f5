"""A progress bar with rate and remaining time."""

import time

from tfssl.terminal import StatusLine, clock, cut, encodable, width

LONGEST_BAR, SHORTEST_BAR = 24, 8  # characters
TERMINAL_PERIOD, LOG_PERIOD = 0.2, 30.0  # seconds between updates


class Progress:
    """A progress bar on a terminal; one line every 30 seconds in a log file.

        pretrain [=======>      ] 310/977 steps  loss 4.21  98 images/s  ETA 2:51

    On a terminal it takes a single line of any width; see `fit`. The rate excludes the first step,
    which builds the graph.

    Args:
        title: name of the work.
        total: number of steps.
        images_per_step: number of images in a step, for the rate.
        start: steps done by an earlier process.
        unit: plural name of a step.
    """

    def __init__(self, title, total, images_per_step, start=0, unit="steps"):
        self.title, self.total, self.unit = title, total, unit
        self.images_per_step = images_per_step
        self.line = StatusLine()
        self.period = TERMINAL_PERIOD if self.line.terminal else LOG_PERIOD
        self.step = self.first = start
        self.first_time = None
        self.shown = 0.0

    def __call__(self, step, **scalars):
        """Shows that `step` steps are done, and scalars in order of importance."""
        now = time.monotonic()
        if self.first_time is None:
            self.first, self.first_time = step, now
        self.step = step
        if step >= self.total or now - self.shown >= self.period:
            self.shown = now
            self.show(scalars)

    @property
    def images_per_second(self):
        """Rate since the first step; 0 before the second."""
        steps = self.step - self.first
        if not steps:
            return 0.0
        return steps * self.images_per_step / (time.monotonic() - self.first_time)

    def show(self, scalars):
        place = f"{self.step}/{self.total} {self.unit}"
        figures = [f"{name} {value:.4g}" for name, value in scalars.items()]
        rate, end = self.images_per_second, ""
        if rate:
            left = (self.total - self.step) * self.images_per_step / rate
            figures.insert(1, f"{rate:,.0f} images/s")
            end = f"ETA {clock(left)}"
        parts = (encodable(self.title), self.step / self.total, place, figures, end)
        if not self.line.terminal:
            print(arranged(*parts), flush=True)
            return
        self.line.show(fit(*parts, self.line.room))
        if self.step >= self.total:
            self.line.end()


def fit(title, share, place, figures, end, room):
    """A progress line of at most `room` columns.

    To fit, the bar shrinks, then figures are dropped from the last one on, then the bar, the title
    (after truncation), and the unit.

    Args:
        title: name of the work.
        share: completed fraction, in [0, 1].
        place: completed steps, as text.
        figures: texts in order of importance.
        end: text that is always shown, such as the remaining time.
        room: number of columns.
    """
    for count in range(len(figures), -1, -1):
        kept = figures[:count]
        bar = room - width(arranged(title, share, place, kept, end, bar=0))
        if bar >= SHORTEST_BAR:
            return arranged(title, share, place, kept, end, min(bar, LONGEST_BAR))
    rest = "  ".join(filter(None, (place, end)))
    if width(rest) > room:
        rest = f"{place.split()[0]} {end}".strip()
    spare = room - width(rest) - 1
    title = cut(title, spare) if spare >= min(width(title), len("t...")) else ""
    return cut(f"{title} {rest}".strip(), room)


def arranged(title, share, place, figures, end, bar=LONGEST_BAR):
    """A progress line with a bar of `bar` characters."""
    filled = ("=" * int(bar * share) + ">")[:bar].ljust(bar)
    return "  ".join(filter(None, (f"{title} [{filled}] {place}", *figures, end)))
