"""Every table and figure of results/measured, again: python scripts/measured.py [NAME ...]

Each folder there is an experiment; its runs.json holds the settings, results and curves of its
runs, and everything else in it is made from that. NAMEs are folders; none: all of them. Accuracies
in figures are those of the linear classifier on the frozen encoder, or of --protocol. Needs the
`sweep` and `dev` extras.
"""

import argparse
import glob
import os
import sys

import collect
import figures
import records
import runs

from tfssl.errors import UsageError

MEASURED = os.path.join(runs.ROOT, "results", "measured")


def names():
    """The experiments that there are, in the order of their names."""
    return sorted(
        os.path.basename(os.path.dirname(path))
        for path in glob.glob(os.path.join(MEASURED, "*", "runs.json"))
    )


def make(name, protocol):
    directory = os.path.join(MEASURED, name)
    source = os.path.join(directory, "runs.json")
    print(f"{name}\n{collect.collect([source], directory)}")
    figures.of_runs(
        records.load([source]),
        argparse.Namespace(protocol=protocol, output_dir=directory, smoothing=None, best=4),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--protocol", default="linear")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        print(
            f"measured.py: NAME must be one of {', '.join(names())}. Received: {unknown[0]}",
            file=sys.stderr,
        )
        return 2
    figures.plt.rcParams.update(figures.STYLE)
    try:
        for name in arguments.names or names():
            make(name, arguments.protocol)
    except UsageError as error:
        print(f"measured.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
