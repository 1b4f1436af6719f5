"""Progress of long work: where it is, how fast it goes, when it ends."""

import sys
import time

BAR = 24  # characters
TERMINAL_PERIOD, LOG_PERIOD = 0.2, 30.0  # seconds between updates


class Progress:
    """A bar on a terminal, one line every half minute in a log file.

        pretrain [=======>      ] 310/977 steps  loss 4.21  98 images/s  ETA 2:51

    The first step builds the graph and is left out of the rate.

    Args:
        title: what is being done.
        total: number of steps.
        images_per_step: for the rate.
        start: steps that an earlier process has done.
        unit: what a step is called.
    """

    def __init__(self, title, total, images_per_step, start=0, unit="steps"):
        self.title, self.total, self.unit = title, total, unit
        self.images_per_step = images_per_step
        self.terminal = sys.stdout.isatty()
        self.period = TERMINAL_PERIOD if self.terminal else LOG_PERIOD
        self.step = self.first = start
        self.first_time = None
        self.shown = 0.0
        self.width = 0

    def __call__(self, step, **scalars):
        """Reports that `step` steps are done; the scalars are shown after it."""
        now = time.monotonic()
        if self.first_time is None:
            self.first, self.first_time = step, now
        self.step = step
        if step >= self.total or now - self.shown >= self.period:
            self.shown = now
            self.show(scalars)

    @property
    def images_per_second(self):
        """Rate since the first step, 0 before there is a second one."""
        steps = self.step - self.first
        if not steps:
            return 0.0
        return steps * self.images_per_step / (time.monotonic() - self.first_time)

    def show(self, scalars):
        filled = BAR * self.step // self.total
        bar = ("=" * filled + ">")[:BAR].ljust(BAR)
        parts = [f"{self.title} [{bar}] {self.step}/{self.total} {self.unit}"]
        parts += [f"{name} {value:.4g}" for name, value in scalars.items()]
        rate = self.images_per_second
        if rate:
            left = (self.total - self.step) * self.images_per_step / rate
            parts += [f"{rate:,.0f} images/s", f"ETA {clock(left)}"]
        line = "  ".join(parts)
        end = "\n" if self.step >= self.total or not self.terminal else ""
        start = "\r" if self.terminal else ""
        print(start + line.ljust(self.width), end=end, flush=True)
        self.width = len(line)


def clock(seconds):
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
