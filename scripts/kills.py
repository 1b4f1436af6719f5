"""Runs that are killed again and again: python scripts/kills.py DIR [--kills=20] [FLAGS]

Runs a command in DIR/straight without interruption, and the same command in DIR/killed, where the
process dies by SIGKILL and is started again, until it has ended; and so again, until there have
been as many kills as asked for. Half of the moments are operations on files, each of the
undisturbed run's in its turn: the process dies just before it would open, rename or remove one. The
others are random, from the first file operation to the end. Then everything that the two
directories hold is compared, bit for bit: names of files, records key by key but for times, every
variable of every checkpoint (weights, statistics, optimizer, sums of the metrics), every point of
TensorBoard, the exported networks. Exits 1 where anything differs.

    --within=2           one training alone, killed so many seconds after its first step at most
    --trial=byol,embed   commands known by name, tiny ones, in place of FLAGS
    --all                all of them, --kills in total
    --trial=workers      two workers of one training, of which one is killed
    --trial=sweep        two workers of a sweep (which needs Optuna)

--report=FILE adds command and outcome to a Markdown file.
"""

import argparse
import os
import shlex
import sys
import time

import runs  # noqa: F401  (which finds tfssl and flags)
from survival import groups, processes, rounds, trials


def parser():
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    made.add_argument("directory")
    made.add_argument("--kills", type=int, default=20, help="in total (default: 20)")
    made.add_argument(
        "--within",
        type=float,
        help="kill at random moments alone, so many seconds "
        "after the first step of a process at most, one run from beginning to end",
    )
    made.add_argument(
        "--trial",
        help="names of commands, separated by commas: "
        + ", ".join([*trials.TRIALS, *groups.GROUPS]),
    )
    made.add_argument("--all", action="store_true", help="every command that has a name")
    made.add_argument("--kill_seed", type=int, default=0)
    made.add_argument("--report", help="Markdown file to add command and outcome to")
    return made


def chosen(arguments, words):
    """The trials that are asked for, and {name: kills} of each."""
    if not (arguments.all or arguments.trial):
        flags = shlex.join(words).replace("{", "{{").replace("}", "}}")
        trial = trials.Trial("run", flags, own=True)
        return [trial], {"run": arguments.kills}
    names = list(trials.TRIALS) if arguments.all else arguments.trial.split(",")
    known = trials.TRIALS | {name: trials.Trial(name, "") for name in groups.GROUPS}
    found = [known[name] for name in names]
    return found, shared(arguments.kills, found)


def shared(kills, found):
    """{name: kills} that are as many together, by the shares of the trials."""
    given, share = {}, sum(trial.share for trial in found)
    left = kills
    for trial in found:
        given[trial.name] = round(left * trial.share / share)
        left, share = left - given[trial.name], share - trial.share
    return given


def perform(arguments, trial, kills, bases):
    """Kills one command so often. Returns the outcome."""
    directory = arguments.directory
    if arguments.all or arguments.trial:
        directory = os.path.join(directory, trial.name.replace(" ", "_"))
    how = dict(seed=arguments.kill_seed, tell=lambda line: print(line, flush=True))
    if trial.name in groups.GROUPS:
        return groups.GROUPS[trial.name](directory, **how).run(kills)
    if arguments.within is None:
        return rounds.Killed(trial, directory, bases, **how).run(kills)
    return rounds.InARow(trial, directory, bases, within=arguments.within, **how).run(kills)


def report(path, command, outcome):
    """Adds a section to a Markdown file."""
    with open(path, "a") as file:
        file.write(f"\n```bash\n{command}\n```\n\n{outcome}.\n")


def main():
    made = parser()
    arguments, words = made.parse_known_args()
    try:
        found, kills = chosen(arguments, words)
    except KeyError as error:
        made.error(
            f"--trial must be of {', '.join([*trials.TRIALS, *groups.GROUPS])}. "
            f"Received: {error.args[0]}"
        )
    arguments.directory = os.path.abspath(arguments.directory)
    os.makedirs(arguments.directory, exist_ok=True)
    processes.load()
    outcomes, began = {}, time.monotonic()
    try:
        bases = trials.bases(arguments.directory, found)
        for trial in found:
            outcomes[trial.name] = perform(arguments, trial, kills[trial.name], bases)
            if len(found) > 1:
                print(f"{trial.name}: {outcomes[trial.name]}", flush=True)
    except (RuntimeError, TimeoutError) as error:
        sys.exit(f"kills.py: {error}")
    told = summary(outcomes, time.monotonic() - began)
    print(told, flush=True)
    if arguments.report:
        report(arguments.report, command(arguments, sys.argv[1:]), told)
    sys.exit(any(outcome.found for outcome in outcomes.values()))


def summary(outcomes, seconds):
    """All outcomes: of one in a line, of several as a list."""
    if len(outcomes) == 1:
        return f"{seconds:.0f} s: {next(iter(outcomes.values()))}"
    kills = sum(outcome.count for outcome in outcomes.values())
    wrong = [name for name, outcome in outcomes.items() if outcome.found]
    verdict = f"not the same: {', '.join(wrong)}" if wrong else "every bit is the same"
    return "\n".join(
        [
            f"{kills} kills, {seconds:.0f} s: {verdict}",
            "",
            *(f"- {name}: {outcome}" for name, outcome in outcomes.items()),
        ]
    )


def command(arguments, words):
    """The command line as others would type it."""
    told = [
        word
        for word in words
        if not word.startswith("--report") and os.path.abspath(word) != arguments.directory
    ]
    return shlex.join(["python", "scripts/kills.py", "DIR", *told])


if __name__ == "__main__":
    main()
