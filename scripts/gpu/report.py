"""What run.py found: python report.py OUT

Writes OUT/curves.png, loss and online accuracy of the headline run over minutes. `text` makes the
tables of report.md of the JSON files in OUT.
"""

import glob
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import stages  # noqa: E402

NAMES = {
    "tfssl xla": "tfssl, step",
    "tfssl whole": "tfssl, whole step",
    "torch eager": "PyTorch, eager",
    "torch compile": "PyTorch, compiled",
}
CURVES = {  # title -> tag
    "contrastive loss": "train/contrast_loss",
    "accuracy of the online head, train": "train/supervised_acc",
}


def text(out, undone):
    """The report as Markdown.

    Args:
        out: directory of the results.
        undone: {task: sentence} of what this call has not done.
    """
    parts = [
        "# A run on one GPU",
        machine(stages.read(os.path.join(out, "machine.json"))),
        steps([stages.read(path) for path in found(out, "steps-")]),
        headline(stages.read(os.path.join(out, "headline.json"))),
        doctor(stages.read(os.path.join(out, "doctor.json"))),
        table3([stages.read(path) for path in found(out, "table3-")]),
        "## Not done\n\n" + "\n".join(f"- {name}: {why}" for name, why in undone.items())
        if undone
        else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def found(out, prefix):
    """The results of a stage, in the order of the numbers in their names."""
    paths = glob.glob(os.path.join(glob.escape(out), f"{prefix}*.json"))
    numbers = r"\d+(?:\.\d+)?"
    return sorted(paths, key=lambda path: [*map(float, re.findall(numbers, path[len(out) :]))])


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine(about):
    if not about:
        return ""
    gpu, torch = about["gpu"], about["torch"]
    lines = [
        f"{about['device']}, {about['cores']} cores, {about['memory_gib'] or 0:.0f} GiB",
        f"TensorFlow {about['tensorflow']}, Keras {about['keras']}, tfssl {about['tfssl']}, "
        f"Python {about['python']}, {about['system']}",
        f"PyTorch: left out, {torch['missing']}"
        if "missing" in torch
        else f"PyTorch {torch['torch']}, torchvision {torch['torchvision']}",
        f"XLA_FLAGS: {about['xla_flags'] or '(none)'}",
    ]
    if gpu:
        lines[0] += f"; GPU memory {gpu['memory_mib']} MiB, driver {gpu['driver']}"
    if about["toy"]:
        lines.append("A rehearsal at toy size: no figure below says anything.")
    return "## Machine\n\n" + "\n".join(f"- {line}" for line in lines)


def rate(row):
    return (row or {}).get("images_per_second")


def cell(row):
    """What is said of a worker: images/s, and its memory where that is known."""
    if row is None:
        return ""
    if "failed" in row:
        return "failed"
    if not row.get("fits", True):
        return "did not fit" if row["alone"] else "did not fit beside the others"
    memory = f" ({row['peak_bytes'] / 2**30:.1f} GiB)" if row["peak_bytes"] else ""
    return f"{rate(row):,.0f}{memory}" + (", alone" if row["alone"] else "")


def steps(results):
    """Images/s of each worker at each size, and ratios to PyTorch's best."""
    results = [result for result in results if result.get("workers")]
    if not results:
        return ""
    rows = []
    for result in results:
        workers = result["workers"]
        best = max([rate(workers.get(f"torch {v}")) or 0 for v in ("eager", "compile")])
        ratios = [
            f"{rate(workers[name]) / best:.2f}" if best and rate(workers.get(name)) else ""
            for name in ("tfssl xla", "tfssl whole")
        ]
        size = f"ResNet-{result['depth']}, {result['batch']:,}"
        rows.append([size, *(cell(workers.get(name)) for name in NAMES), *ratios])
    header = ["images/s (memory)", *NAMES.values(), "step : PyTorch's best", "whole : PyTorch's"]
    devices = {row["device"] for r in results for row in r["workers"].values() if "device" in row}
    counts = [len(w["rounds"]) for r in results for w in r["workers"].values() if "rounds" in w]
    said = (
        "Training steps of SimCLR in bfloat16, in turns on one device. An image counts once and "
        "is seen in two views. The whole step augments the images too; the others are given views."
    )
    if counts:
        rounds = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else counts[0]
        said += f" Medians of {rounds} rounds, on {', '.join(sorted(devices))}."
    return f"## Steps\n\n{said}\n\n" + table(header, rows)


def headline(result):
    if not result:
        return ""
    lines = [f"Not complete: {result['failed']}"] if "failed" in result else []
    for name, words, unit in (
        ("first_step_s", "to the first step that was shown, start of the program included", "s"),
        ("train_seconds", "of training", "s"),
        ("wall_s", "in all", "s"),
        ("images_per_second", "images/s, without the first step", ""),
    ):
        if result.get(name) is not None:
            lines.append(f"{result[name]:,.0f} {unit + ' ' if unit else ''}{words}")
    rows = [
        [name, f"{100 * row['top_1']:.2f}", f"{100 * row['top_5']:.2f}" if "top_5" in row else ""]
        for name, row in result.get("accuracy", {}).items()
    ]
    about = f"## Headline\n\n`{result['command']}`\n\n" + "\n".join(f"- {line}" for line in lines)
    return about + ("\n\n" + table(["protocol", "top-1, %", "top-5, %"], rows) if rows else "")


def doctor(result):
    if not result:
        return ""
    checks = result.get("checks", [])
    bad = [row for row in checks if not row["passed"]]
    lines = [f"{len(checks)} checks, {len(checks) - len(bad)} passed, {len(bad)} failed."]
    lines += [f"Not complete: {result['failed']}"] if "failed" in result else []
    lines += [
        f"- {row['name']}: {row['failed'] or 'error {error} above {bound}'.format(**row)}"
        for row in bad
    ]
    return "## Doctor\n\n" + "\n".join(lines)


def table3(results):
    rows = [
        [*result["point"].values(), *(f"{100 * row['top_1']:.2f}" for row in accuracy.values())]
        for result in results
        if (accuracy := result.get("accuracy"))
    ]
    if not rows:
        return ""
    first = next(result for result in results if result.get("accuracy"))
    header = [name.replace("_", " ") for name in (*first["point"], *first["accuracy"])]
    return "## Table 3\n\nTop-1, %.\n\n" + table(header, rows)


def minutes(times):
    """Minutes of training at each of these times, in s, the first being the start.

    Where a run was continued by a later call, the pause counts as a usual interval.
    """
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    usual = statistics.median(gaps[1:]) if gaps[1:] else 0.0
    total, over = 0.0, []
    for number, gap in enumerate(gaps):
        total += usual if number and gap > 10 * usual else gap
        over.append(total / 60)
    return over


def draw(directory, path):
    import matplotlib  # isort: skip

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import runs  # noqa: F401 - tfssl before TensorFlow
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(directory, size_guidance={"tensors": 0}).Reload()
    figure, axes = plt.subplots(1, len(CURVES), figsize=(10, 3.6), constrained_layout=True)
    for axis, (title, tag) in zip(axes, CURVES.items()):
        points = {event.step: event for event in events.Tensors(tag)}
        points = [points[step] for step in sorted(points)]
        over = minutes([events.FirstEventTimestamp(), *(point.wall_time for point in points)])
        values = [float(tf.make_ndarray(point.tensor_proto)) for point in points]
        axis.plot(over, values, color="#0072B2", linewidth=1)
        axis.set(title=title, xlabel="minutes")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(os.path.join(sys.argv[1], "headline"), os.path.join(sys.argv[1], "curves.png"))
