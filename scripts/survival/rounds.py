"""One command, killed again and again, and compared with itself undisturbed."""

import collections
import dataclasses
import os
import random

from survival import compare, trials
from survival.processes import Start, apart

PER_ROUND = 4  # kills of one run, from its beginning to its end
MISSES = 5  # rounds without a kill before the moments are given up
FIRST_STEP = "steps  loss"  # what a training says from its first step on


@dataclasses.dataclass
class Outcome:
    """What came of a trial.

    Attributes:
        kills: how many there were, by what they came at.
        saving, after: how many of them left a checkpoint unfinished behind, or came after the last
            checkpoint.
        rounds: runs from beginning to end.
        steps: checkpoints that were gone on from.
        found: what differs, each with the moments that led there; empty where nothing does.
    """

    kills: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    saving: int = 0
    after: int = 0
    rounds: int = 0
    steps: set = dataclasses.field(default_factory=set)
    found: list = dataclasses.field(default_factory=list)

    @property
    def count(self):
        return self.kills.total()

    def __str__(self):
        where = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.count} kills ({where or 'none'}; {self.saving} of them while a checkpoint "
            f"was being written, {self.after} after the last one), {len(self.steps)} different "
            f"checkpoints gone on from, {self.rounds} runs: "
            + ("; ".join(self.found) if self.found else "every bit is the same")
        )


def again_and_again(round_of, outcome, kills, name):
    """Has rounds of some kills each until there were so many. Returns the `Outcome`.

    Args:
        round_of: (kills at most) -> None, adds to the outcome.
        name: of the trial, for the message.

    Raises:
        RuntimeError: no moment is met.
    """
    misses = 0
    while outcome.count < kills:
        before = outcome.count
        round_of(min(PER_ROUND, kills - before))
        misses = misses + 1 if outcome.count == before else 0
        if misses == MISSES:
            raise RuntimeError(f"{name}: none of {MISSES} runs met its moment")
    return outcome


@dataclasses.dataclass(frozen=True, order=True)
class Moment:
    """When a process dies.

    Attributes:
        seconds: where in the undisturbed run it is, from its first file operation.
        operation: the file operation before which it dies; "" for that time itself.
    """

    seconds: float
    operation: str = ""

    @property
    def kind(self):
        return "at file operations" if self.operation else "at random moments"

    def __str__(self):
        return f"before {self.operation}" if self.operation else f"at {self.seconds:.2f} s"


class Killed:
    """A trial in its directories: straight, killed, and before, as both begin.

    Args:
        trial: the `trials.Trial`.
        directory: of the trial.
        bases: what `trials.bases` returned.
        seed: of the moments.
        tell: (line) -> None.
    """

    def __init__(self, trial, directory, bases, seed=0, tell=print):
        self.trial, self.bases, self.tell = trial, bases, tell
        self.chance = random.Random(f"{seed} {trial.name}")
        self.straight, self.killed, self.before = (
            os.path.join(directory, name) for name in ("straight", "killed", "before")
        )
        os.makedirs(directory, exist_ok=True)
        self.outcome, self.deck = Outcome(), []

    def start(self, directory, **how):
        return Start(self.trial.work(directory, self.bases), directory, f"{directory}.log", **how)

    def undisturbed(self):
        """Runs the command to its end, and notes its file operations and how long it takes.

        Raises:
            RuntimeError: it failed.
        """
        for directory in (self.before, self.straight):
            self.trial.prepare(directory, self.bases)
        started = self.start(self.straight)
        started.wait()
        if started.code:
            raise RuntimeError(f"the uninterrupted run failed:\n{started.said()}")
        self.operations, self.seconds = started.operations(), started.worked
        # What every start does again before it goes on, up to the first checkpoint.
        self.again = next((when for when, what in self.operations if "unfinished" in what), 0.0)
        self.last = trials.newest(self.straight)

    def moment(self):
        """The next of all moments in random order: each file operation, and as many times."""
        if not self.deck:
            self.deck = [Moment(*operation) for operation in self.operations]
            self.deck += [Moment(self.chance.uniform(0, self.seconds)) for _ in self.deck]
            self.chance.shuffle(self.deck)
        return self.deck.pop()

    def run(self, kills):
        """Kills so often. Returns the `Outcome`.

        Raises:
            RuntimeError: the command failed, or no moment is met.
        """
        self.undisturbed()
        return again_and_again(self.round, self.outcome, kills, self.trial.name)

    def round(self, kills):
        """One run from its beginning to its end, with so many kills at most."""
        self.trial.prepare(self.killed, self.bases)
        moments, met = sorted(self.moment() for _ in range(kills)), []
        wall = done = 0.0
        for moment in moments:
            started = self.begin(moment, done)
            wall += started.seconds
            if not started.killed:
                break
            done = moment.seconds
            met.append(str(moment))
            self.note(moment)
        else:
            started = self.start(self.killed)
            started.wait()
            wall += started.seconds
        self.end(started, wall, met)

    def begin(self, moment, done):
        """A start that dies at a moment, or ends before; run to its end.

        Args:
            done: seconds of the undisturbed run that lie behind.
        """
        started = self.start(self.killed, die_at=moment.operation or None)
        if not moment.operation:
            delay = (
                moment.seconds
                if moment.seconds < self.again
                else (self.again + moment.seconds - max(done, self.again))
            )
            if started.wait(until=lambda: started.worked >= delay):
                started.kill()
        started.wait()
        return started

    def note(self, moment):
        """Counts a kill, and looks at what it left behind."""
        outcome, step = self.outcome, trials.newest(self.killed)
        outcome.kills[moment.kind] += 1
        outcome.saving += trials.saving(self.killed)
        outcome.after += step == self.last and not self.trial.copy
        outcome.steps.add(step)
        self.tell(f"{self.trial.name}: kill {outcome.count} {moment}, step {step}")
        self.find(compare.torn(self.killed, self.straight, self.before), [str(moment)])

    def end(self, started, wall, met):
        """Compares a run that has come to its end."""
        self.outcome.rounds += 1
        refused = self.trial.refuses and met and started.code == 2
        if started.code and not refused:
            last = (started.said().strip().splitlines() or ["nothing"])[-1]
            self.find([f"exit code {started.code}: {last}"], met)
        else:
            wall = None if self.trial.copy else wall  # it holds the time of another run
            self.find(apart(compare.differences, self.straight, self.killed, wall), met)

    def find(self, what, moments):
        for text in what:
            told = f"{text} (killed {', '.join(moments) or 'never'})"
            self.outcome.found.append(told)
            self.tell(f"{self.trial.name}: {told}")


class InARow(Killed):
    """One long training whose kills come soon after the first step of each process.

    Args:
        within: seconds after it, at most.
    """

    def __init__(self, *args, within, **kwargs):
        super().__init__(*args, **kwargs)
        self.within = within

    def run(self, kills):
        self.undisturbed()
        self.trial.prepare(self.killed, self.bases)
        wall = 0.0
        for _ in range(kills):
            moment = Moment(self.chance.uniform(0, self.within))
            started = self.start(self.killed)
            if started.wait(until=lambda: FIRST_STEP in started.said()):
                started.wait(
                    until=lambda after=started.seconds: started.seconds >= after + moment.seconds
                )
            if not started.alive():
                raise RuntimeError(
                    f"the run ended after {self.outcome.count} kills: give it more steps, or less "
                    f"time --within. It last said: {started.said().strip().splitlines()[-1]}"
                )
            started.kill()
            wall += started.seconds
            self.note(moment)
        started = self.start(self.killed)
        started.wait()
        self.end(started, wall + started.seconds, [f"{kills} times"])
        return self.outcome
