"""Runs the checks of tfssl.doctor: python numerics.py OUTPUT.json [--precision=mixed_bfloat16]

Writes OUTPUT.json after every check, and continues it where it was cut off. A check in which the
process has died counts as failed, so that the next call gets beyond it.
"""

import argparse
import dataclasses
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

import stages  # noqa: E402

from tfssl import doctor  # noqa: E402


def outcome(check):
    """What a check gave, as JSON can hold it: an error that is not finite is text."""
    found = doctor.run(check)
    row = {**dataclasses.asdict(found), "passed": bool(found.passed)}
    row["error"] = float(row["error"]) if abs(row["error"]) < float("inf") else str(row["error"])
    return row


def died(name):
    return {"name": name, "passed": False, "failed": "the process died in it", "seconds": 0.0}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--first", type=int, help="only so many of the checks")
    options = parser.parse_args()
    earlier = stages.read(options.output)
    done = {row["name"]: row for row in earlier.get("checks", [])}
    if "running" in earlier:
        done[earlier["running"]] = died(earlier["running"])
    for check in doctor.checks(precision=options.precision)[: options.first]:
        if check.name in done:
            continue
        about = {"checks": list(done.values()), "running": check.name, "failed": "it is not over"}
        stages.write(options.output, about)
        done[check.name] = row = outcome(check)
        said = f"error {row['error']}, bound {row['bound']}"
        print(f"{'passed' if row['passed'] else 'FAILED'}: {row['name']}: {said}", flush=True)
    stages.write(options.output, {"checks": list(done.values())})


if __name__ == "__main__":
    main()
