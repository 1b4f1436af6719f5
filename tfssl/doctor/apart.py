"""Runs the checks of a method in a process of their own.

The full list compiles hundreds of programs, after which TensorFlow may end the process that made
them, as it did on a processor after 160. Such an end is then a failed check like any other, and the
checks after it are run all the same.
"""

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from tfssl.doctor import comparison
from tfssl.doctor.comparison import Check, Outcome

MARK = "tfssl.doctor.apart "  # before an outcome, on a line of its own
GROUP = "method"  # of the checks that are run apart


def outcomes(checks: list[Check]) -> Iterator[Outcome]:
    """Runs checks of the full list of `doctor.checks`; steps of methods in other processes.

    Args:
        checks: list of `Check`s.

    Yields:
        An `Outcome` for each check, in order.

    Example:

    ```python
    from tfssl import doctor

    first = doctor.checks(full=True)[0]
    [outcome.passed for outcome in doctor.outcomes([first])]  # [True]
    ```
    """
    for group, members in itertools.groupby(checks, key=lambda check: (check.group, of(check))):
        if group[0] == GROUP:
            yield from elsewhere(list(members))
        else:
            yield from map(comparison.run, members)


def of(check):
    """The method whose step a check is of: the checks of a method share a process."""
    return check.name.partition(",")[0] if check.group == GROUP else ""


def elsewhere(checks, command=(sys.executable, "-m", __name__)):
    """Yields an `Outcome` for each check, from processes that end early at the worst."""
    while checks:
        names = json.dumps([check.name for check in checks])
        began, done = time.monotonic(), 0
        process = subprocess.Popen(
            [*command, names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            for line in process.stdout:
                if line.startswith(MARK):
                    done, began = done + 1, time.monotonic()
                    yield Outcome(**json.loads(line.removeprefix(MARK)))
            process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if done < len(checks):
            lost = checks[done]
            seconds = time.monotonic() - began
            failed = ended(process.returncode)
            yield Outcome(lost.name, lost.group, float("inf"), lost.bound, seconds, failed)
        checks = checks[done + 1 :]


def ended(code):
    """How a process ended, as text."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was ended by {name}"


def main(argv):
    """Runs the checks of the names in a JSON list, and prints an outcome for each."""
    from tfssl.doctor.catalogue import checks

    known = {check.name: check for check in checks(full=True)}
    for name in json.loads(argv[0]):
        found = dataclasses.asdict(comparison.run(known[name]))
        print(f"\n{MARK}{json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
