"""Runs as tables: python scripts/collect.py RUNS [RUNS ...] OUTPUT_DIR

RUNS are directories, searched for finished runs, or runs.json files that this script wrote. Their
settings and results are read from what run.py left in them. Writes into OUTPUT_DIR: runs.json, the
records themselves; runs.csv, one row per run; table.csv and table.md, one row per setting in the
thesis's column order, with mean and standard deviation over seeds and the thesis's number where the
setting is one of its own; hparams/, the same for TensorBoard (tensorboard --logdir
OUTPUT_DIR/hparams).
"""

import argparse
import os
import shutil
import statistics
import sys

import records
import runs
import thesis

from tfssl.errors import UsageError

ONLINE = ("online", "network")  # the head that most of the thesis's are of; when finetuning


def columns(names):
    """{flag: column}, in the thesis's words where it has one."""
    return {name: records.COLUMNS.get(name, name) for name in names}


def row(record, names):
    """A run as a row of runs.csv."""
    config, result = record.config, record.result
    online = next((record.scores[name] for name in ONLINE if name in record.scores), {})
    theirs, printed = thesis.beside(config) or (None, {})
    return {
        "method": config.method,
        "dataset": result["dataset"],
        **{column: getattr(config, name) for name, column in columns(names).items()},
        "seed": config.seed,
        "regularization_loss": result.get("eval/regularization_loss"),
        "top_1_accuracy": online.get("top_1"),
        "top_5_accuracy": runs.top_5(online),
        "steps": result["global_step"],
        **{
            f"{protocol}_top_1": scores["top_1"]
            for protocol, scores in record.scores.items()
            if protocol not in ONLINE
        },
        **{
            f"untrained_{protocol}_top_1": scores["top_1"]
            for protocol, scores in record.untrained.items()
            if protocol not in ONLINE
        },
        "eval_split": result["eval_split"],
        "train_seconds": round(result.get("train_seconds", 0), 1),
        "precision": result["precision"],
        "device": result["device"],
        "thesis_table": theirs,
        "thesis_top_1": printed.get("top_1_accuracy"),
        "thesis_top_5": printed.get("top_5_accuracy"),
        "thesis_protocol": theirs and thesis.protocol(theirs),
    }


def measured(rows):
    """The columns of rows that hold what was measured, in order."""
    return [
        "regularization_loss",
        "top_1_accuracy",
        "top_5_accuracy",
        "steps",
        *(name for name in rows[0] if name.endswith("_top_1") and name != "thesis_top_1"),
    ]


def table(groups, names):
    """One row per setting: its values, number of seeds, means and standard deviations."""
    made = []
    for group in groups:
        rows = [row(record, names) for record in group]
        line = {column: rows[0][column] for column in columns(names).values()}
        line["seeds"] = len({r["seed"] for r in rows})
        for name in measured(rows):
            values = [r[name] for r in rows if r.get(name) is not None]
            line[name] = statistics.mean(values) if values else None
            line[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
        del line["steps_std"]
        for name in ("thesis_table", "thesis_top_1", "thesis_protocol"):
            line[name] = rows[0][name]
        made.append(line)
    return uniform(made)


def uniform(rows):
    """Rows with the columns of all of them, None where one has no such column."""
    names = list(dict.fromkeys(name for r in rows for name in r))
    return [{name: r.get(name) for name in names} for r in rows]


def markdown(lines, names):
    """`table` for people: mean ± standard deviation, the thesis's number beside, with what it is of
    where it is not the online head on the evaluation split.

    Without columns of nothing or of zeros, such as the regularization that LARS does by itself.
    """
    shown = [
        *columns(names).values(),
        "seeds",
        *(name for name in lines[0] if f"{name}_std" in lines[0] or name == "steps"),
    ]
    shown = [name for name in shown if any(line[name] not in (None, 0) for line in lines)]
    compared = any(line["thesis_top_1"] is not None for line in lines)
    heads = [name.replace("_top_1", ", top-1") for name in shown] + compared * ["thesis's top-1"]
    text = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for line in lines:
        cells = [cell(line, name) for name in shown]
        if compared:
            protocol = line["thesis_protocol"]
            cells.append(
                ""
                if line["thesis_top_1"] is None
                else f"{line['thesis_top_1']:.3f}"
                + (f" ({protocol})" if protocol != thesis.ONLINE else "")
            )
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


def cell(line, name):
    value, spread = line[name], line.get(f"{name}_std")
    if value is None:
        scored = line["top_1_accuracy"] is not None
        return "-" if name == "top_5_accuracy" and scored else ""
    if isinstance(value, bool):
        return str(value).lower()
    if f"{name}_std" not in line:
        return f"{value:g}" if isinstance(value, (int, float)) else str(value)
    digits = 4 if name == "regularization_loss" else 3
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def write_hparams(found, names, directory):
    """TensorBoard's HParams: what varies and the seed, with every protocol's top-1."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def write(path, step, *summaries):
        writer = EventFileWriter(path)
        for summary in summaries:
            writer.add_event(Event(step=step, wall_time=0, summary=summary))
        writer.close()

    shutil.rmtree(directory, ignore_errors=True)
    told = columns([*names, "seed"])
    protocols = list(dict.fromkeys(name for record in found for name in record.scores))
    write(
        directory,
        0,
        summary_v2.hparams_config_pb(
            hparams=[api.HParam(column) for column in told.values()],
            metrics=[api.Metric(f"top_1/{name}", display_name=name) for name in protocols],
        ),
    )
    for i, record in enumerate(found):
        values = {column: plain(getattr(record.config, name)) for name, column in told.items()}
        write(
            os.path.join(directory, f"{i:03}"),
            record.result["global_step"],
            summary_v2.hparams_pb(values, trial_id=f"{i:03}"),
            Summary(
                value=[
                    Summary.Value(tag=f"top_1/{name}", simple_value=scores["top_1"])
                    for name, scores in record.scores.items()
                ]
            ),
        )


def plain(value):
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def collect(paths, output_dir):
    """Writes all the tables; returns table.md's text."""
    found = records.load(paths)
    names = records.varying(found)
    os.makedirs(output_dir, exist_ok=True)
    lines = table(records.by_setting(found), names)
    text = markdown(lines, names)
    records.save(found, os.path.join(output_dir, "runs.json"))
    runs.write_table(
        uniform([row(record, names) for record in found]), os.path.join(output_dir, "runs.csv")
    )
    runs.write_table(lines, os.path.join(output_dir, "table.csv"))
    runs.write(os.path.join(output_dir, "table.md"), text)
    write_hparams(found, names, os.path.join(output_dir, "hparams"))
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("output_dir")
    arguments = parser.parse_args()
    try:
        print(collect(arguments.runs, arguments.output_dir))
    except UsageError as error:
        print(f"collect.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
