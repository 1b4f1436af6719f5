"""All methods on equal terms: python scripts/equal_minutes.py OUTPUT_DIR [--methods=simclr,byol]

For each method: its speed, by a short training; its learning rate, the best of three by kNN on
held-out training images; one training for each seed, of the same duration, evaluated on the test
images; and, with --same_images=N, one on N images with the first seed. Speeds are measured first,
one after the other, in float32 and on all cores, so that each training is a number of steps and may
be made on other machines, in bfloat16, or several side by side.

Writes OUTPUT_DIR/table.md; curves.png, accuracy of the online head against minutes; and
runs.json, what each training gave: one that is there already is not made again. Models go to
--models. Further flags of run.py follow after --.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import json
import os
import queue
import statistics
import sys
import threading

import runs

from tfssl.config import METHODS
from tfssl.runner import parser

# A quarter of ResNet-18's width on small views, one optimizer, narrow heads.
COMMON = [
    "--dataset=cifar10",
    "--image_size=16",
    "--eval_image_size=24",
    "--width_multiplier=0.25",
    "--crop_area_min=0.3",
    "--color_jitter_strength=0.5",
    "--train_batch_size=256",
    "--warmup_epochs=0.5",
    "--optimizer=lars",
    "--lars_form=popular",
    "--lars_eeta=0.02",
    "--learning_rate=0.4",
    "--weight_decay=1e-4",
    "--proj_hidden_dim=512",
    "--noeval_baseline",
]
LOCAL = [
    *("--local_views=2", "--local_size=10"),
    *("--local_crop_area_min=0.1", "--local_crop_area_max=0.3"),
]
OWN = {  # what a method needs besides, at this size
    "simclr": ["--temperature=0.2"],
    "byol": ["--proj_out_dim=128", "--base_target_decay=0.97"],
    "npair": ["--temperature=0.2"],
    "cpc": [
        *("--optimizer=adam", "--learning_rate=0.001", "--image_size=32"),
        "--eval_image_size=32",
    ],
    "simsiam": ["--proj_out_dim=512", "--pred_hidden_dim=128"],
    "fastsiam": ["--proj_out_dim=512", "--pred_hidden_dim=128", "--train_batch_size=128"],
    "barlow_twins": ["--proj_out_dim=512"],
    "vicreg": ["--proj_out_dim=512"],
    "sigreg": ["--optimizer=adam", "--learning_rate=0.002", "--weight_decay=1e-6"],
    "mocov2": ["--memory_size=4096", "--memory_decay=0.99", "--symmetric"],
    "mocov3": ["--temperature=0.2", "--pred_hidden_dim=512", "--base_target_decay=0.97"],
    "nnclr": ["--temperature=0.2", "--memory_size=4096", "--pred_hidden_dim=512"],
    "dcl": ["--temperature=0.2"],
    "dclw": ["--temperature=0.2"],
    "swav": ["--num_prototypes=128", *LOCAL],
    "dino": ["--num_prototypes=1024", "--base_target_decay=0.97", *LOCAL],
    "emp_ssl": [
        *("--num_views=8", "--crop_area_min=0.25", "--crop_area_max=0.25"),
        *("--train_batch_size=64", "--eval_image_size=16", "--eval_patches=4"),
    ],
    "dim": ["--optimizer=adam", "--learning_rate=0.001"],
}
FACTORS = (1 / 3, 1.0, 3.0)  # of the learning rate
HELD_OUT = ["--train_split=train[:40000]", "--eval_split=train[40000:]"]
MASKED = ("mae", "simmim")  # for transformers, which these sizes do not suit
PACE_STEPS = 40
POINTS = 20  # of a curve
KNN = "knn_20"
DIAGNOSIS = "diagnosis.json"  # what run.py leaves where the loss is no longer finite
RATE = "learning_rate"


def main(argv):
    options = parse(argv)
    for method in options.methods:
        reported(pace, options, method)
    side_by_side(options, trainings, options.methods)
    report(options)


def parse(argv):
    parser = arguments(__doc__, ",".join(name for name in METHODS if name not in MASKED))
    parser.add_argument("--minutes", type=float, default=8.0, help="of each training")
    parser.add_argument("--search_minutes", type=float, default=4.0, help="of each try of a rate")
    parser.add_argument("--seeds", default="0,1", help="integers, comma-separated")
    parser.add_argument("--same_images", type=int, default=0, help="of one more training; 0: none")
    options = read(parser, argv)
    options.seeds = options.seeds.split(",")
    return options


def arguments(doc, methods=None):
    """A parser of what this script, small_batches.py and kinds.py share."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    if methods:
        parser.add_argument("--methods", default=methods, help="names, comma-separated")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, each on its cores")
    parser.add_argument("--models", help="directory of the trainings; default: OUT/models")
    return parser


def read(parser, argv):
    """The options of a command line; those after -- as `rest`."""
    words, rest = split(argv)
    options = parser.parse_args(words)
    options.rest = rest
    options.models = options.models or os.path.join(options.out, "models")
    if "methods" in options:
        options.methods = chosen(parser, options.methods, "methods", METHODS)
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.jobs <= len(cores):
        parser.error(f"--jobs must be from 1 to {len(cores)}, the cores. Received: {options.jobs}")
    runs.refuse(parser, rest, "method", "seed", "train_steps", "learning_rate", "model_dir")
    options.cores, options.share = cores, Shares(cores, options.jobs)
    options.records = Records(os.path.join(options.out, "runs.json"))
    return options


def chosen(parser, text, flag, known):
    """The names of a list, which are among those known."""
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"--{flag} must be of {', '.join(known)}. Received: {unknown[0]}")
    return names


def split(argv):
    """The words before and after a lone --."""
    place = argv.index("--") if "--" in argv else len(argv)
    return argv[:place], argv[place + 1 :]


class Shares:
    """The cores in equal parts, each lent to one training at a time."""

    def __init__(self, cores, count):
        self.free = queue.SimpleQueue()
        for number in range(count):
            self.free.put(cores[number::count])

    @contextlib.contextmanager
    def __call__(self, cores=None):
        """Waits for a share, and yields it; `cores` where they are given."""
        if cores:
            yield cores
            return
        share = self.free.get()
        try:
            yield share
        finally:
            self.free.put(share)


class Records:
    """What the trainings gave, {method: {name of the training: record}}, in a JSON file."""

    def __init__(self, path):
        self.path = path
        self.all = runs.read(path) if os.path.exists(path) else {}
        self.lock = threading.Lock()

    def find(self, method, name, flags):
        """The record of a training with these flags, or None.

        Raises:
            SystemExit: the record is of other flags.
        """
        record = self.all.get(method, {}).get(name)
        if record and record["flags"] != flags:
            differ = sorted(set(record["flags"]) ^ set(flags))
            sys.exit(
                f"{self.path}: {name} of {method} was trained with other flags, which differ in "
                f"{' '.join(differ)}. Remove its record, or give another OUTPUT_DIR."
            )
        return record

    def of(self, method, prefix):
        """A method's records whose names begin so, in the order of names."""
        records = sorted(self.all.get(method, {}).items())
        return [record for name, record in records if name.startswith(prefix)]

    def add(self, method, name, record):
        with self.lock:
            self.all.setdefault(method, {})[name] = record
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            runs.write(self.path, json.dumps(self.all, indent=1))


def side_by_side(options, function, items):
    """`function(options, item)` of each item, `--jobs` of them at once."""
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(functools.partial(reported, function, options), items))


def reported(function, options, item):
    """`function(options, item)`; a failure is told at once, as the others go on until the end."""
    try:
        return function(options, item)
    except (Exception, SystemExit) as error:
        print(f"{item} failed: {error}", flush=True)
        raise


def train(options, method, name, flags, cores=None):
    """The record of a training, which is made now unless it has been.

    Args:
        options: those of the command line.
        method, name: where the record is.
        flags: of run.py.
        cores: numbers of those that it has; None: one of the `--jobs` shares of them.
    """
    record = options.records.find(method, name, flags)
    if record:
        return record
    place = os.path.join(options.models, method, name)
    with options.share(cores) as cores:
        result = runs.run(place, *flags, cores=cores, log=options.jobs > 1)
    logged = runs.scalars(place, ("train/supervised_acc", "information/effective_rank"))
    ranks = logged.get("information/effective_rank", {})
    record = {
        "flags": flags,
        "device": result["device"],
        "cores": len(cores),
        "steps": result["global_step"],
        "seconds": round(result["train_seconds"], 1),
        "images_per_second": round(result["images_per_second"], 1),
        "accuracy": {name: one["top_1"] for name, one in runs.scores(result).items()},
        "effective_rank": ranks[max(ranks)] if ranks else None,
        "curve": sorted(logged.get("train/supervised_acc", {}).items()),
    }
    options.records.add(method, name, record)
    print(f"{method} {name}: {record['steps']} steps, {record['seconds']:.0f} s", flush=True)
    return record


def flags_of(options, method):
    return [*COMMON, f"--method={method}", *OWN.get(method, []), *options.rest]


def last(flags, name):
    """The value that counts of a flag given several times, or None."""
    given = [word.partition("=")[2] for word in flags if word.startswith(f"--{name}=")]
    return given[-1] if given else None


def pace(options, method):
    """Training images per second of all cores in float32."""
    quick = ["--nolinear_probe", "--knn_k=", "--eval_steps=1", "--train_summary_steps=0"]
    quick += ["--precision=float32", f"--train_steps={PACE_STEPS}"]
    flags = [*flags_of(options, method), *quick]
    return train(options, method, "pace", flags, options.cores)["images_per_second"]


def steps_on(images, flags):
    return max(2, round(images / int(last(flags, "train_batch_size"))))


def trainings(options, method):
    """All trainings of a method but that of its pace."""
    per_minute, flags = 60 * pace(options, method), flags_of(options, method)
    rate = best_rate(options, method, flags, options.search_minutes * per_minute)
    flags.append(f"--learning_rate={rate:.3g}")
    images = options.minutes * per_minute
    for seed in options.seeds:
        final(options, method, f"seed_{seed}", flags, seed, images)
    if options.same_images:
        images = options.same_images
        final(options, method, f"images_{images}", flags, options.seeds[0], images)


def best_rate(options, method, flags, images):
    """The best learning rate by kNN on held-out training images, after so many images."""
    steps, base = steps_on(images, flags), float(last(flags, RATE))
    if not any(last(flags, name) for name in ("train_split", "eval_split")):
        flags = [*flags, *HELD_OUT]
    tries = {}
    for rate in (base * factor for factor in FACTORS):
        more = ["--nolinear_probe", f"--{RATE}={rate:.3g}", f"--train_steps={steps}"]
        tries[rate] = tried(options, method, f"rate_{rate:.3g}", [*flags, *more])
    return max(tries, key=tries.get)


def tried(options, method, name, flags):
    """The accuracy of a training, whose loss may become infinite: then 0, which is recorded."""
    try:
        return train(options, method, name, flags)["accuracy"][KNN]
    except SystemExit:
        if not os.path.exists(os.path.join(options.models, method, name, DIAGNOSIS)):
            raise
    options.records.add(method, name, {"flags": flags, "accuracy": {KNN: 0.0}, "diverged": True})
    print(f"{method} {name}: its loss became infinite", flush=True)
    return 0.0


def final(options, method, name, flags, seed, images):
    steps = steps_on(images, flags)
    points = f"--train_summary_steps={max(1, steps // POINTS)}"
    train(options, method, name, [*flags, f"--seed={seed}", f"--train_steps={steps}", points])


def report(options):
    """Writes the table and the picture of all methods that have been trained."""
    finals = {method: options.records.of(method, "seed_") for method in METHODS}
    finals = {method: of for method, of in finals.items() if of}
    header = [
        *("method", "rate", "images/s", "images", "passes", "seeds", "linear", "kNN-20"),
        "effective rank",
    ]
    same = options.same_images
    header += [f"{of}, {same:,} images" for of in ("linear", "kNN-20") if same]
    rows = [row(options.records.all[method], of, same) for method, of in finals.items()]
    pace = options.records.all[next(iter(finals))]["pace"]
    words = [f"--minutes={options.minutes:g}", f"--search_minutes={options.search_minutes:g}"]
    words += [f"--same_images={options.same_images}"] * bool(options.same_images)
    text = (
        f"`{command('equal_minutes', options, words)}`\n\nEach training: {options.minutes:g} "
        f"minutes of {pace['cores']} core(s) in float32 at the speed that was measured first; "
        f"{pace['device']}. Accuracies on the test images in %: the mean over the seeds, and half "
        f"of their range.\n\n{markdown([header, *rows])}"
    )
    runs.write(os.path.join(options.out, "table.md"), text)
    draw(os.path.join(options.out, "curves.png"), finals, options.minutes)


def command(name, options, words):
    """The command line that makes a report again."""
    rest = ["--", *options.rest] if options.rest else []
    jobs = f"--jobs={options.jobs}"
    return " ".join([f"python scripts/{name}.py", options.out, *words, jobs, *rest])


def markdown(table):
    """A table of cells, the header first, as Markdown."""
    lines = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def row(records, finals, same_images):
    """The cells of a method's line, given all of its records."""
    flags = finals[0]["flags"]
    ranks = [one["effective_rank"] for one in finals if one["effective_rank"] is not None]
    same = [one for name, one in records.items() if name == f"images_{same_images}"]
    return [
        runs.METHODS[last(flags, "method")],
        last(flags, RATE),
        f"{records['pace']['images_per_second']:.0f}",
        f"{finals[0]['steps'] * int(last(flags, 'train_batch_size')):,}",
        str(passes(parser.parse(["run.py", *flags])[0])),
        str(len(finals)),
        spread(finals, "linear"),
        spread(finals, KNN),
        f"{statistics.mean(ranks):.0f}" if ranks else "",
        *(spread(same, protocol) for protocol in ("linear", KNN) if same_images),
    ]


def passes(config):
    """Passes of an image through the encoder in one step, those of targets and small views too."""
    of_targets = {"byol": 2, "mocov3": 2, "dino": 2}  # those of MoCo v2 stand in for views
    both = config.method == "mocov2" and "symmetric=True" in (config.method_options or "")
    return config.num_views + config.local_views + of_targets.get(config.method, 2 * int(both))


def spread(records, protocol):
    """Mean and half of the range of an accuracy in percent; "" where it was not measured."""
    found = [100 * one["accuracy"][protocol] for one in records if protocol in one["accuracy"]]
    if not found:
        return ""
    half = f" ± {(max(found) - min(found)) / 2:.1f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.1f}{half}"


def whole_points(curve):
    """Without the last point where it is a mean over less than half of the steps of the others."""
    steps = [0, *(step for step, _ in curve)]
    short = len(curve) > 1 and 2 * (steps[-1] - steps[-2]) < steps[1]
    return curve[:-1] if short else curve


def draw(path, finals, minutes):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    styles = ["-", "--", ":"]
    for number, (method, of) in enumerate(finals.items()):
        curve = whole_points(of[0]["curve"])
        axis.plot(
            [minutes * step / of[0]["steps"] for step, _ in curve],
            [100 * accuracy for _, accuracy in curve],
            styles[number // 10 % 3],
            color=f"C{number % 10}",
            label=runs.METHODS[method],
        )
    axis.set(xlabel="minutes of training", ylabel="online head, training views, %")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
