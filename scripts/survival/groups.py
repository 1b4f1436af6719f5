"""Several processes of one work, of which one is killed: workers of a training, and of a sweep."""

import collections
import json
import os
import random
import shutil
import signal

import launch_local_workers

from survival import compare, processes, trials
from survival.processes import Start, apart
from survival.rounds import Outcome, again_and_again

NOTICE = 120  # seconds within which a worker has to notice that another is gone
STOP = 10  # seconds within which one that waits has to stop when it is asked to


class Group:
    """Two processes that do one work in a directory.

    Subclasses have a NAME, and implement `joined() -> {place: variables}`, `work(directory)`,
    `settle(started)`, after a kill, and `compare() -> what differs`.

    Args:
        directory: of the trial.
        seed: of the moments.
        tell: (line) -> None.
    """

    COUNT = 2

    def __init__(self, directory, seed=0, tell=print):
        self.chance, self.tell = random.Random(f"{seed} {self.NAME}"), tell
        self.straight, self.killed = (
            os.path.join(directory, name) for name in ("straight", "killed")
        )
        self.outcome, self.wall = Outcome(), 0.0
        os.makedirs(directory, exist_ok=True)

    def begin(self, directory, places=None, die=None):
        """{place: Start} of the processes.

        Args:
            places: of which; None: all, joined anew.
            die: (place, file operation before which that one dies); None: nobody does.
        """
        if places is None:
            places, self.env = range(self.COUNT), self.joined()
        return {
            place: Start(
                self.work(directory),
                directory,
                f"{directory}.{place}.log",
                die_at=die[1] if die and die[0] == place else None,
                env=self.env[place],
            )
            for place in places
        }

    def finish(self, started):
        for one in started.values():
            one.wait()
            self.wall += one.seconds
            if one.code:
                last = one.said().strip().splitlines()[-1:]
                raise RuntimeError(f"{self.NAME}: exit code {one.code}: {last}: {one.log}")

    def run(self, kills):
        """Kills one of the processes so often. Returns the `Outcome`.

        Raises:
            RuntimeError: one of them failed.
        """
        shutil.rmtree(self.straight, ignore_errors=True)
        started = self.begin(self.straight)
        self.finish(started)
        self.seconds = max(one.worked for one in started.values())
        self.operations = {
            place: [what for _, what in one.operations()] for place, one in started.items()
        }
        return again_and_again(self.round, self.outcome, kills, self.NAME)

    def round(self, kills):
        """One work from its beginning to its end, with so many kills at most."""
        shutil.rmtree(self.killed, ignore_errors=True)
        self.wall, met = 0.0, []
        started = self.begin(self.killed)
        for _ in range(kills):
            moment = self.kill(started)
            if moment is None:
                break
            met.append(moment)
            self.tell(
                f"{self.NAME}: kill {self.outcome.count} {moment}, "
                f"step {trials.newest(self.killed)}"
            )
            started = self.settle(started)
        self.finish(started)
        self.outcome.rounds += 1
        for text in self.compare():
            self.outcome.found.append(f"{text} (killed {', '.join(met) or 'never'})")
            self.tell(f"{self.NAME}: {self.outcome.found[-1]}")

    def kill(self, started):
        """Kills one at a random moment of what may be left; None where it ended before."""
        place, delay = self.chance.randrange(self.COUNT), self.chance.uniform(0, self.seconds)
        victim = started[place]
        if victim.wait(until=lambda: victim.seconds >= delay):
            victim.kill()
            self.count("at random moments")
            return f"process {place} after {delay:.2f} s"

    def count(self, kind):
        self.outcome.kills[kind] += 1
        self.outcome.saving += trials.saving(self.killed)
        self.outcome.steps.add(trials.newest(self.killed))


class Workers(Group):
    """Two workers of one training. The one that lives on ends with a sentence; both go on."""

    NAME = "workers"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.noticed = []

    def joined(self):
        addresses = [f"127.0.0.1:{port}" for port in launch_local_workers.free_ports(self.COUNT)]
        return {
            place: {
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": place}}
                )
            }
            for place in range(self.COUNT)
        }

    def work(self, directory):
        return processes.run_py([*trials.TINY, *trials.SHORT.split(), f"--model_dir={directory}"])

    def settle(self, started):
        """The other notices, or waits and is stopped; then both begin again."""
        (survivor,) = (one for one in started.values() if not one.killed)
        before = survivor.seconds
        try:
            survivor.wait(seconds=NOTICE)
        except TimeoutError:
            self.outcome.found.append(f"the other worker did not end within {NOTICE} s")
        said, told = survivor.said(), "run.py: Another worker is gone"
        self.noticed.append(survivor.seconds - before)
        if survivor.code and not survivor.killed and told not in said or "Traceback" in said:
            self.outcome.found.append(
                f"the other worker's end (code {survivor.code}) is no "
                f"sentence: {said.strip().splitlines()[-1:]}"
            )
        self.tell(
            f"{self.NAME}: the other one ended after {self.noticed[-1]:.1f} s, code {survivor.code}"
        )
        self.wall += sum(one.seconds for one in started.values())
        return self.begin(self.killed)

    def kill(self, started):
        """Not before they have met: one that is alone waits, as it must."""
        place = self.chance.randrange(self.COUNT)
        victim, chief = started[place], started[0]
        met = "building the graph"
        if not chief.wait(until=lambda: met in chief.said()):
            return None
        delay = chief.seconds + self.chance.uniform(0, self.seconds / 2)
        if not victim.wait(until=lambda: victim.seconds >= delay):
            return None
        victim.kill()
        self.count("at random moments")
        return f"worker {place} after {delay:.2f} s"

    def compare(self):
        return apart(compare.differences, self.straight, self.killed, self.wall)


class Sweep(Group):
    """Two workers of a sweep, the one that is killed with its training or without it."""

    NAME = "sweep"
    GRID = ("--grid=seed=0,1", "--grid=temperature=0.25,0.5")

    def joined(self):
        return {place: {} for place in range(self.COUNT)}

    def work(self, directory):
        import sweep

        return lambda: sweep.main(
            [*trials.TINY, *trials.SHORT.split(), *self.GRID, f"--sweep_dir={directory}"]
        )

    def kill(self, started):
        """Half of the kills are at file operations of the worker."""
        if self.chance.random() < 0.5:
            return super().kill(started)
        place = self.chance.randrange(self.COUNT)
        operation = self.chance.choice(self.operations[place])
        started[place].kill()  # and comes again, to die there
        started[place] = self.begin(self.killed, [place], (place, operation))[place]
        started[place].wait()
        if not started[place].killed:
            return None
        self.count("at file operations")
        return f"worker {place} before {operation}"

    def settle(self, started):
        """Another one comes in the place of the one that is gone."""
        (place,) = (place for place, one in started.items() if one.killed)
        if self.chance.random() < 0.5:  # not the other's: two such kills make a trial a failed one
            for training in orphans(self.killed, {one.pid for one in started.values()}):
                os.kill(training, signal.SIGKILL)
        return started | self.begin(self.killed, [place])

    def compare(self):
        found = []
        there, here = (apart(ended, directory) for directory in (self.straight, self.killed))
        if there != here:
            found.append(f"trials: {here}, where {there} was expected")
        for name in os.listdir(self.straight):
            run = os.path.join(self.straight, name)
            if os.path.exists(os.path.join(run, "flags.json")):
                found += [
                    f"{name}: {text}"
                    for text in apart(compare.differences, run, os.path.join(self.killed, name))
                ]
        return found


def orphans(directory, workers):
    """Process numbers of the runs of run.py in a sweep's directory that no worker waits for."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{number}/stat") as file:  # the parent follows the name and the state
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        of_sweep = any(
            word.startswith(b"--model_dir=" + os.fsencode(directory) + b"/") for word in words
        )
        if of_sweep and parent not in workers:
            found.append(int(number))
    return found


def ended(directory):
    """{number: (state, value, settings, how often it was completed)} of the trials of a sweep."""
    import optuna

    path = os.path.join(directory, "journal.log")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    (study,) = optuna.get_all_study_names(storage)
    with open(path) as file:
        records = [json.loads(line) for line in file]
    ends = collections.Counter(
        record["trial_id"]
        for record in records
        if record.get("state") == optuna.trial.TrialState.COMPLETE.value
    )
    return {
        trial.number: (trial.state.name, trial.value, trial.params, ends[trial._trial_id])
        for trial in optuna.load_study(study_name=study, storage=storage).trials
    }


GROUPS = {group.NAME: group for group in (Workers, Sweep)}
