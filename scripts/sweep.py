"""Many runs of run.py: python scripts/sweep.py --flagfile=flags/thesis/table3.flags [--dry_run]

    --grid=temperature=0.25,0.5      what varies; several of them are multiplied
    --sampler=tpe --trials=20        search instead of trying all; --range=temperature=0.05,1

All other flags are run.py's, for every run. Each trial is a run of run.py with a directory of its
own in --sweep_dir, where the list of trials is kept too (Optuna's journal). The same command again
resumes the sweep; started a second time, here or on a machine that shares the directory, it is one
more worker. A trial whose worker has died is taken over and continues from its newest checkpoint.
Needs the `sweep` extra, and a system with file locks (Linux, macOS). Then:

    python scripts/collect.py SWEEP_DIR OUTPUT_DIR
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid

import grid
import journal
import runs

from tfssl.errors import UsageError
from tfssl.terminal import StatusLine, clock, escape_unencodable

RUN = os.path.join(runs.ROOT, "run.py")
ATTEMPTS = 2  # of a trial that fails, before it counts as failed
LOOK = 1.0  # seconds between two looks at what runs
UNLABELLED = "view_retrieval"  # the objective that needs no labels
PRUNE_LOOK = 15.0  # seconds between two looks at the curves of a trial


def parser():
    made = grid.Parser(
        prog="scripts/sweep.py",
        description=__doc__.split("\n")[0],
        epilog="All other flags are run.py's: python run.py --help",
    )
    made.add_argument(
        "--sweep_dir",
        help="directory of the sweep, shared by its workers; not "
        "given: a name made from the settings, under runs/",
    )
    made.add_argument("--dry_run", action="store_true", help="list every trial as a command")
    made.add_argument(
        "--sampler",
        choices=("grid", "tpe"),
        default="grid",
        help="try all, or search by Optuna's TPE",
    )
    made.add_argument("--trials", type=int, help="how many trials, for --sampler=tpe")
    made.add_argument(
        "--objective",
        help="accuracy to compare by: online, network, linear, knn_20, ...; or view_retrieval of "
        "held-out images, which needs no labels; not given: the first of these that there is",
    )
    made.add_argument(
        "--storage",
        help="an Optuna storage URL, such as sqlite:///sweep.db; not "
        "given: a journal file in --sweep_dir, safe for many processes",
    )
    made.add_argument(
        "--gpus",
        default="",
        help="GPUs to spread trials over, such as 0,1: one at "
        "a time on each; not given: one trial at a time, on what TensorFlow finds",
    )
    made.add_argument(
        "--prune",
        action="store_true",
        help="stop a trial whose online head is "
        "below the median of the earlier ones after as many images",
    )
    made.add_argument(
        "--prune_every",
        type=int,
        default=50_000,
        help="images between two such looks (default: 50000)",
    )
    return made


def read(line):
    """A command line as (options, grid.Sweep).

    Raises:
        UsageError: something is to be refused, said in one sentence.
    """
    options, words = parser().parse(line)
    tpe = options.sampler == "tpe"
    sweep = grid.read(options, words, line, product=not tpe)
    if tpe and (options.trials is None or options.trials < 1):
        raise UsageError(
            "--trials must be how many trials --sampler=tpe shall run, 1 or more. "
            f"Received: {options.trials}"
        )
    for name, given, wanted in (
        ("trials", options.trials is not None, "tpe"),
        ("range", sweep.ranges, "tpe"),
        ("skip", sweep.skip, "grid"),
        ("dry_run", options.dry_run, "grid"),
    ):
        if given and options.sampler != wanted:
            raise UsageError(
                f"--{name} is for --sampler={wanted}. Received: --sampler={options.sampler}"
            )
    if not re.fullmatch(r"(\d+(,\d+)*)?", options.gpus):
        raise UsageError(
            "--gpus must be numbers of GPUs separated by commas, such as 0,1. "
            f"Received: {options.gpus}"
        )
    if options.prune_every < 1:
        raise UsageError(
            f"--prune_every must be a number of images, 1 or more. Received: {options.prune_every}"
        )
    if options.prune and not sweep.config(some(sweep)).lineareval_while_pretraining:
        raise UsageError("--prune needs the online head: not --nolineareval_while_pretraining")
    known = protocols(sweep.config(some(sweep)))
    if options.objective not in (None, *known):
        raise UsageError(
            f"--objective must be one of {', '.join(known)}, which these flags have. "
            f"Received: {options.objective}"
        )
    return options, sweep


def protocols(config):
    """The objectives that a run of this Config may have."""
    if config.task != "pretrain":
        return ["network"]
    return [
        *["online"] * config.lineareval_while_pretraining,
        *["linear"] * config.linear_probe,
        *(f"knn_{k}" for k in config.neighbours),
        *[UNLABELLED] * bool(config.information_scalars and config.train_summary_steps),
    ]


def some(sweep):
    """One of the points."""
    return grid.each_value(sweep.axes)[0] | {name: low for name, (low, *_) in sweep.ranges.items()}


def name_of(sweep):
    """A name made from all that says which sweep it is: equal settings, equal name."""
    text = json.dumps(grid.identity(sweep), sort_keys=True)
    config = sweep.config(some(sweep))
    return plain(
        f"sweep-{config.method}-{config.dataset}-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    )


def run_name(number, point):
    """The name of a run's directory, for people to read: no program reads it."""
    told = (
        f"{value:.4g}" if isinstance(value, float) else grid.told(value) for value in point.values()
    )
    return plain("-".join([f"{number:03}", *map("_".join, zip(point, told))]))[:150]


def plain(text):
    return re.sub(r"[^\w.-]", "_", text)


@contextlib.contextmanager
def locked(path):
    """Waits for the lock of a file and holds it."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path):
    """The open file whose lock is now ours, or None where another process holds it."""
    file = open(path, "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class Refused(Exception):
    """Why a run counts as failed, in one line."""


class Running:
    """A trial that this worker has, and its process.

    The lock says that somebody is at the trial. The process inherits it: should the worker be
    killed and the training live on, no other worker touches the trial before it has ended.

    Args:
        trial: the `optuna.Trial`.
        point: its settings.
        lock: open file.
        directory: of the run.
        log: file that its output goes to.
        command: list of strings.
        gpu: its number, as text, or None.
    """

    def __init__(self, trial, point, lock, directory, log, command, gpu):
        self.trial, self.point, self.lock, self.gpu = trial, point, lock, gpu
        self.directory, self.log, self.command = directory, log, command
        self.began = self.looked = time.monotonic()
        self.pruned = False
        self.start()

    @property
    def title(self):
        where = f" on GPU {self.gpu}" if self.gpu is not None else ""
        return f"trial {self.trial.number}{where}: {' '.join(grid.assignments(self.point))}"

    def start(self):
        env = (
            dict(os.environ)
            if self.gpu is None
            else {**os.environ, "CUDA_VISIBLE_DEVICES": self.gpu}
        )
        with open(self.log, "a") as log:
            # A session of its own, so that Ctrl-C reaches the worker alone, which passes it on.
            self.process = subprocess.Popen(
                self.command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock.fileno(),),
                start_new_session=True,
            )

    def stop(self):
        """Lets the step end and a checkpoint be written."""
        self.process.terminate()

    def last_words(self):
        """The last line that it wrote: where it is, or why it failed."""
        with open(self.log, "rb") as log:
            log.seek(max(0, os.path.getsize(self.log) - 4000))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")

    def scores(self):
        """{objective: share} of its result, the accuracies first.

        Raises:
            Refused: there is none.
        """
        unlabelled = self.unlabelled()
        there = os.path.exists(os.path.join(self.directory, "result.json"))
        return {**(self.accuracies() if there or not unlabelled else {}), **unlabelled}

    def unlabelled(self):
        """{UNLABELLED: share} at the end of a pretraining; {} if it was not measured."""
        try:
            (*_, last) = runs.read(os.path.join(self.directory, "verdict.json"))["points"]
            share = float(last[UNLABELLED])
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {UNLABELLED: share} if 0 <= share <= 1 else {}

    def accuracies(self):
        """{protocol: top-1} of its result.

        Raises:
            Refused: there is none.
        """
        try:
            result = runs.read(os.path.join(self.directory, "result.json"))
            found = {name: s["top_1"] for name, s in runs.scores(result).items()}
        except (OSError, ValueError) as error:
            raise Refused(f"it left no result.json ({error})") from None
        except (AttributeError, KeyError, TypeError):
            raise Refused("its result.json holds no accuracies of this version") from None
        wrong = [
            name
            for name, value in found.items()
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1
        ]
        if wrong:
            raise Refused(f"its result.json holds no accuracy in [0, 1] of {wrong[0]}")
        return found


class Worker:
    """One process that works on a sweep until nothing of it is left to do.

    Args:
        options, sweep: see `read`.
        directory: the --sweep_dir.
    """

    def __init__(self, options, sweep, directory):
        self.options, self.sweep, self.directory = options, sweep, directory
        self.place = self.register()
        with locked(self.path("lock")):  # not every database lets two make its tables at once
            self.study = self.open_study()
        self.total = options.trials or len(sweep.points)
        self.running, self.asked, self.shown = {}, None, ""
        self.line = StatusLine()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def register(self):
        """Writes down which sweep the directory is of; returns the directory's own random name.

        Raises:
            UsageError: it is another one's, or cannot be written.
        """
        try:
            for name in ("locks", "logs"):
                os.makedirs(self.path(name), exist_ok=True)
            with locked(self.path("lock")):
                path, identity = self.path("sweep.json"), grid.identity(self.sweep)
                identity = json.loads(json.dumps(identity | {"sampler": self.options.sampler}))
                if os.path.exists(path):
                    there = whole_record(path)
                    if {name: there.get(name) for name in identity} != identity:
                        raise UsageError(
                            f"--sweep_dir must be of the same sweep. Received: {self.directory}, "
                            "which holds one of other flags or another grid"
                        )
                    return there["place"]
                runs.write(path, json.dumps(identity | {"place": uuid.uuid4().hex}, indent=1))
                return runs.read(path)["place"]
        except OSError as error:
            raise UsageError(
                "--sweep_dir must be a directory that can be written. Received: "
                f"{self.directory} ({error})"
            ) from None

    def open_study(self):
        """The Optuna study, made where it is new.

        Raises:
            UsageError: the storage cannot be opened.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        tpe = self.options.sampler == "tpe"
        if not self.options.storage:
            self.mend()
        try:
            storage = self.options.storage or optuna.storages.JournalStorage(
                optuna.storages.journal.JournalFileBackend(self.path("journal.log"))
            )
            return optuna.create_study(
                storage=storage,
                study_name=name_of(self.sweep),
                load_if_exists=True,
                direction="maximize",
                sampler=optuna.samplers.TPESampler() if tpe else in_order(self.sweep),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            )
        except Exception as error:  # of any database's client
            if not self.options.storage:
                raise UsageError(
                    f"{self.path('journal.log')} must be a journal of Optuna's. "
                    f"Received: {str(error).splitlines()[0]}"
                ) from None
            raise UsageError(
                "--storage must be an Optuna storage URL that can be opened, such as "
                f"sqlite:///sweep.db. Received: {self.options.storage} "
                f"({str(error).splitlines()[0]})"
            ) from None

    def mend(self):
        """Mends the journal, while no worker writes to it.

        Raises:
            UsageError: it cannot be mended.
        """
        path = self.path("journal.log")
        files = optuna.storages.journal
        if not os.path.isfile(path):
            journal.mend(path)
            return
        lock = files.JournalFileSymlinkLock(path)
        lock.acquire()
        try:
            done = journal.mend(path)
        finally:
            lock.release()
        if done:
            print(done, flush=True)

    def trials(self, *states):
        found = self.study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in found if trial.number < self.total]

    # ------------------------------------------------------------ one trial

    def claim(self, gpu):
        """Starts a trial that nobody is at, left by a dead worker or new; None: there is none."""
        with locked(self.path("lock")):
            for frozen in self.trials(State.RUNNING):
                if frozen.number not in self.running and self.is_here(frozen):
                    lock = self.lock_of(frozen.number)
                    if lock:
                        trial = optuna.trial.Trial(self.study, frozen._trial_id)
                        trial.set_user_attr("place", self.place)
                        return self.begin(trial, lock, gpu, "takes over")
            if len(self.trials()) >= self.total:
                return None
            trial = self.study.ask()
            if trial.number >= self.total:  # a worker elsewhere was faster
                self.study.tell(trial, state=State.FAIL)
                return None
            trial.set_user_attr("place", self.place)
            lock = self.lock_of(trial.number)
            # Without it, a training of this number is still under way here, whose list is lost.
            return lock and self.begin(trial, lock, gpu, "starts")

    def is_here(self, frozen):
        """Whether a trial was begun in this directory, so that its lock is to be found here."""
        return not self.options.storage or frozen.user_attrs.get("place") == self.place

    def lock_of(self, number):
        return try_lock(self.path("locks", f"{number:03}"))

    def log_of(self, number):
        return self.path("logs", f"{number:03}.log")

    def begin(self, trial, lock, gpu, verb):
        point = suggest(trial, self.sweep)
        directory = self.path(run_name(trial.number, point))
        running = Running(
            trial,
            point,
            lock,
            directory,
            log=self.log_of(trial.number),
            command=command(self.sweep, point, directory),
            gpu=gpu,
        )
        self.running[trial.number] = running
        if self.asked:  # while it was being started
            running.stop()
        self.say(f"{verb} {running.title}")
        return running

    def look(self, running):
        """Goes on with a trial of ours: whether it has ended."""
        code = running.process.poll()
        if code is None:
            if self.options.prune:
                self.prune(running)
            return False
        if self.asked:  # it stays open: the next worker continues it
            return self.end(running)
        if running.pruned:
            self.tell(running, State.PRUNED)
            return self.end(running, "stopped: below the median")
        try:
            if code:
                raise Refused(f"run.py exited with {code}: {running.last_words()}")
            scores = running.scores()
            name = self.options.objective or next(iter(scores), None)
            value = scores.get(name)
            if value is None:
                raise Refused(
                    f"no accuracy {self.options.objective or ''} in result.json, which "
                    f"has: {', '.join(scores) or 'none'}"
                )
        except Refused as why:
            return self.failed(running, str(why))
        if self.options.prune:
            self.report(running)  # later trials are compared with all of it
        running.trial.set_user_attr("top_1", scores)
        running.trial.set_user_attr("seconds", time.monotonic() - running.began)
        self.tell(running, State.COMPLETE, value)
        return self.end(running, f"{name} {100 * value:.2f} %")

    def failed(self, running, why):
        """Starts a trial again, or gives it up: whether it has ended."""
        attempts = running.trial.user_attrs.get("failed", 0) + 1
        running.trial.set_user_attr("failed", attempts)
        running.trial.set_user_attr("why", why)
        if attempts < ATTEMPTS:
            self.say(f"starts again trial {running.trial.number}: {why}")
            running.start()
            if self.asked:
                running.stop()
            return False
        self.tell(running, State.FAIL)
        return self.end(running, f"failed: {why}")

    def tell(self, running, state, value=None):
        self.study.tell(running.trial, value, state=state)

    def end(self, running, what=None):
        running.lock.close()
        del self.running[running.trial.number]
        if what:
            self.say(f"trial {running.trial.number}: {what}")
        return True

    def prune(self, running):
        """Stops a trial whose online head is below the median, now and then."""
        if running.pruned or time.monotonic() - running.looked < PRUNE_LOOK:
            return
        running.looked = time.monotonic()
        self.report(running)
        if running.trial.should_prune():
            running.pruned = True
            running.stop()

    def report(self, running):
        """Tells Optuna the online head's accuracy after every so many images."""
        batch = self.sweep.config(running.point).train_batch_size
        known = set(running.trial._get_latest_trial().intermediate_values)
        points = runs.scalars(running.directory).get("train/supervised_acc", {})
        for step, value in sorted(points.items()):
            look = step * batch // self.options.prune_every
            if look and look not in known:
                known.add(look)
                running.trial.report(value, look)

    # ------------------------------------------------------------ all of them

    def work(self):
        """Until nothing is left to do here. Returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.ask)
        free = self.options.gpus.split(",") if self.options.gpus else [None]
        while True:
            while free and not self.asked:
                if not self.claim(free[0]):
                    break
                free.pop(0)
            for running in list(self.running.values()):
                if self.look(running):
                    free.append(running.gpu)
            if not self.running and (self.asked or not self.is_work_left()):
                break
            self.show()
            time.sleep(LOOK)
        return self.conclude()

    def ask(self, number, frame):
        """Stops the trainings after a checkpoint; a second signal has its usual effect."""
        self.asked = number
        signal.signal(number, signal.SIG_DFL)
        for running in self.running.values():
            running.stop()

    def is_work_left(self):
        """Whether a trial may yet come to be done by this worker."""
        return len(self.trials()) < self.total or any(map(self.is_here, self.trials(State.RUNNING)))

    def say(self, text):
        self.line.end(text)
        self.shown = ""

    def show(self):
        """The state of the whole sweep: rewritten on a terminal, a line per change elsewhere."""
        text = self.state()
        if self.line.terminal:
            self.line.show(
                text
                + "".join(
                    f" | {number}: {running.last_words()}"
                    for number, running in self.running.items()
                )
            )
        elif text.split("  ETA")[0] != self.shown.split("  ETA")[0]:
            print(text, flush=True)
            self.shown = text

    def state(self):
        trials = self.trials()
        done, active, failed, pruned = (
            [trial for trial in trials if trial.state == state]
            for state in (State.COMPLETE, State.RUNNING, State.FAIL, State.PRUNED)
        )
        parts = [f"sweep: {len(done)} of {self.total} done, {len(active)} running"]
        parts += [
            f"{len(some)} {word}" for word, some in (("failed", failed), ("pruned", pruned)) if some
        ]
        if done:
            best = max(done, key=lambda trial: trial.value)
            parts.append(f"best {100 * best.value:.2f} % (trial {best.number})")
            seconds = sum(trial.user_attrs["seconds"] for trial in done) / len(done)
            left = self.total - sum(map(len, (done, failed, pruned)))
            parts.append(f"ETA {clock(seconds * left / max(1, len(active)))}")
        return ", ".join(parts[:-1]) + f"  {parts[-1]}" if done else ", ".join(parts)

    def conclude(self):
        self.line.end()
        if self.asked:
            print("stopped; the same command continues")
            return 128 + self.asked
        print(self.state().split("  ETA")[0])
        away = self.trials(State.RUNNING)
        if away:
            print(f"{len(away)} run where this directory is not shared")
        failed = self.trials(State.FAIL)
        for trial in failed:
            print(
                f"failed: trial {trial.number}: {trial.user_attrs.get('why')}; all it said: "
                f"{self.log_of(trial.number)}"
            )
        print(f"results: python scripts/collect.py {self.directory} OUTPUT_DIR")
        return 1 if failed else 0


def whole_record(path):
    """What sweep.json says.

    Raises:
        UsageError: it is damaged.
    """
    try:
        there = runs.read(path)
    except ValueError as error:
        there = error
    if not (isinstance(there, dict) and isinstance(there.get("place"), str)):
        raise UsageError(f"{path} is damaged. Without it, the same command makes it again.")
    return there


def in_order(sweep):
    """An Optuna sampler for which trial k is the k-th point of the grid.

    Optuna's own takes points twice where two workers ask at the same time; the number of a trial is
    given once, by any storage.
    """

    class InOrder(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study, trial):
            return {}

        def sample_relative(self, study, trial, search_space):
            return {}

        def sample_independent(self, study, trial, param_name, param_distribution):
            point = sweep.points[trial.number]
            return label([point[name] for name in param_name.split(",")])

    return InOrder()


def label(values):
    """What Optuna calls a row of an axis."""
    return values[0] if len(values) == 1 else ":".join(map(grid.told, values))


def suggest(trial, sweep):
    """The point of a trial: what it had before, or what the sampler says now."""
    point = {}
    for names, rows in sweep.axes.items():
        labels = [label(row) for row in rows]
        chosen = trial.suggest_categorical(",".join(names), labels)
        point |= dict(zip(names, rows[labels.index(chosen)]))
    for name, (low, high, logarithmic) in sweep.ranges.items():
        ask = trial.suggest_int if isinstance(low, int) else trial.suggest_float
        point[name] = ask(name, low, high, log=logarithmic)
    return point


def command(sweep, point, directory):
    return [sys.executable, RUN, *sweep.flags(point), f"--model_dir={directory}"]


def listing(sweep, directory):
    """Every run of a grid as a command that can be pasted."""
    lines = [f"# {len(sweep.points)} runs, in {directory}"]
    for number, point in enumerate(sweep.points):
        words = command(sweep, point, os.path.join(directory, run_name(number, point)))
        lines.append(shlex.join(["python", os.path.relpath(RUN), *words[2:]]))
    return "\n".join(lines)


def main(line):
    """Runs one command line and returns its exit code: 0 all done, 1 some failed, 2 refused."""
    global optuna, State
    escape_unencodable()
    try:
        options, sweep = read(line)
        directory = options.sweep_dir or os.path.join("runs", name_of(sweep))
        if options.dry_run:
            print(listing(sweep, directory))
            return 0
        try:
            import optuna  # here, so that help and refusals do not wait for it
        except ImportError:
            raise UsageError("a sweep needs Optuna: pip install '.[sweep]'") from None
        State = optuna.trial.TrialState
        return Worker(options, sweep, directory).work()
    except UsageError as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return 2
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        print(
            f"sweep.py: {error.filename} in --sweep_dir must be a file that can be written. "
            f"Received: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
