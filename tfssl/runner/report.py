"""`--mode=report`: one run as a page, or several side by side."""

import os

from tfssl import files, report
from tfssl.errors import UsageError
from tfssl.runner import frozen, page, predict
from tfssl.storage import runs
from tfssl.storage.checkpoint import Checkpoints

TOGETHER = "compare.html"


def write(config, given):
    """Writes report.html of the run in --model_dir; with --compare, compare.html of all of them.

    Args, Raises: see `frozen.encoder`; and UsageError: --compare names a directory without a run,
        or --output exists.

    Returns:
        The path of the page.
    """
    if config.output:
        predict.target(config.output, "")
    if not config.compare:
        job, encoder, origin = frozen.encoder(config, given)
        return page.write_page(job, encoder, origin["step"], config.output)
    path = config.output or os.path.join(config.model_dir, TOGETHER)
    told = [run_in(directory) for directory in (config.model_dir, *config.compare.split(","))]
    files.write_text(path, report.compare(told))
    print(f"report: {path}", flush=True)
    return path


def run_in(directory):
    """The `report.Run` of a directory at its newest checkpoint."""
    config = runs.recorded(directory) if os.path.isdir(directory) else None
    steps = Checkpoints(directory).steps() if config else []
    if not steps:
        raise UsageError(
            "--model_dir and --compare must name directories of runs. "
            f"Received: {directory}, which holds none"
        )
    return page.run_of(config.replace(model_dir=directory), max(steps))
