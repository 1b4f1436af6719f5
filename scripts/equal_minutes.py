"""All methods on equal terms: python scripts/equal_minutes.py OUTPUT_DIR [--methods=simclr,byol]

For each method: its speed, by a short training; its learning rate, the best of three on held-out
training images by kNN; and one training for each seed, all of the same duration, evaluated on the
test images. Writes OUTPUT_DIR/README.md, a table, and curves.png: accuracy of the online head
against minutes. The same command goes on where it was stopped; several methods may be run one after
the other, on one machine. Further flags of run.py follow after --.
"""

import argparse
import os
import statistics
import sys

import runs

from tfssl.config import METHODS, Config

# A quarter of ResNet-18's width on small views, as flags/fast/cifar10.flags; narrow heads.
COMMON = [
    "--dataset=cifar10",
    "--image_size=20",
    "--eval_image_size=32",
    "--width_multiplier=0.25",
    "--crop_area_min=0.3",
    "--color_jitter_strength=0.5",
    "--train_batch_size=256",
    "--warmup_epochs=0.5",
    "--proj_hidden_dim=512",
    "--noeval_baseline",
]
OWN = {  # what a method needs besides, at this size
    "simsiam": ["--proj_out_dim=512", "--pred_hidden_dim=128"],
    "fastsiam": ["--proj_out_dim=512", "--pred_hidden_dim=128"],
    "barlow_twins": ["--proj_out_dim=512", "--lars_eeta=0.02"],
    "vicreg": ["--proj_out_dim=512", "--lars_eeta=0.02"],
    "mocov2": ["--memory_size=4096", "--memory_decay=0.99", "--symmetric"],
    "mocov3": ["--pred_hidden_dim=512", "--lars_eeta=0.02"],
    "nnclr": ["--memory_size=4096", "--pred_hidden_dim=512", "--lars_eeta=0.02"],
    "swav": ["--num_prototypes=512", "--local_views=2", "--lars_eeta=0.02"],
    "dino": ["--num_prototypes=1024", "--local_views=2"],
    "emp_ssl": ["--num_views=8", "--crop_area_min=0.25", "--lars_eeta=0.02", "--eval_patches=16"],
    "byol": ["--proj_out_dim=128", "--base_target_decay=0.97", "--lars_eeta=0.02"],
    "cpc": ["--optimizer=adam", "--learning_rate=0.001", "--image_size=32"],
    "simclr": ["--lars_eeta=0.02", "--temperature=0.2", "--learning_rate=0.3"],
    "npair": ["--lars_eeta=0.02", "--temperature=0.2", "--learning_rate=0.3"],
    "triplet": ["--lars_eeta=0.02", "--learning_rate=0.3"],
    "dcl": ["--lars_eeta=0.02", "--temperature=0.2", "--learning_rate=0.3"],
    "dclw": ["--lars_eeta=0.02", "--temperature=0.2", "--learning_rate=0.3"],
    "supcon": ["--lars_eeta=0.02", "--learning_rate=0.3"],
}
FACTORS = (1 / 3, 1.0, 3.0)  # of the learning rate
HELD_OUT = ["--train_split=train[:40000]", "--eval_split=train[40000:]", "--nolinear_probe"]
PACE_STEPS = 40
KNN = "knn_20"


def main(argv):
    options = parse(argv)
    made = []
    for method in options.methods:
        made.append(of_method(options, method))
        report(options, made)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the runs and the report")
    parser.add_argument("--methods", default=",".join(METHODS), help="names, comma-separated")
    parser.add_argument("--minutes", type=float, default=8.0, help="of each training")
    parser.add_argument("--search_minutes", type=float, default=4.0, help="of each try of a rate")
    parser.add_argument("--seeds", default="0,1", help="integers, comma-separated")
    words, rest = split(argv)
    options = parser.parse_args(words)
    options.rest = rest
    options.methods = options.methods.split(",")
    options.seeds = options.seeds.split(",")
    unknown = [method for method in options.methods if method not in METHODS]
    if unknown:
        parser.error(f"--methods must be of {', '.join(METHODS)}. Received: {unknown[0]}")
    runs.refuse(parser, rest, "method", "seed", "train_steps", "learning_rate", "model_dir")
    return options


def split(argv):
    """The words before and after a lone --."""
    place = argv.index("--") if "--" in argv else len(argv)
    return argv[:place], argv[place + 1 :]


def of_method(options, method):
    """All runs of a method, as a dict."""
    flags = [*COMMON, f"--method={method}", *OWN.get(method, []), *options.rest]
    speed = pace(options, method, flags)
    rate, tries = search(options, method, flags, speed)
    finals = [
        train(options, method, [*flags, f"--learning_rate={rate:.4g}"], speed, seed)
        for seed in options.seeds
    ]
    return {"method": method, "rate": rate, "tries": tries, "speed": speed, "runs": finals}


def directory(options, method, name):
    return os.path.join(options.out, method, name)


def pace(options, method, flags):
    """Training images per second."""
    quick = ["--nolinear_probe", "--knn_k=", "--eval_steps=1", "--train_summary_steps=0"]
    made = runs.run(
        directory(options, method, "pace"), *flags, *quick, f"--train_steps={PACE_STEPS}"
    )
    return made["images_per_second"]


def steps_in(minutes, speed, flags):
    """Steps that take so many minutes."""
    sizes = [word.partition("=")[2] for word in flags if word.startswith("--train_batch_size=")]
    return max(2, round(60 * minutes * speed / int(sizes[-1])))


def search(options, method, flags, speed):
    """The best learning rate by kNN on held-out training images, and {rate: accuracy}."""
    given = [word.partition("=")[2] for word in flags if word.startswith("--learning_rate=")]
    base = float(given[-1]) if given else base_rate(method)
    steps, tries = steps_in(options.search_minutes, speed, flags), {}
    for factor in FACTORS:
        rate = base * factor
        result = runs.run(
            directory(options, method, f"rate_{rate:.3g}"),
            *held_out(flags),
            f"--learning_rate={rate:.4g}",
            f"--train_steps={steps}",
        )
        tries[rate] = runs.scores(result)[KNN]["top_1"]
    return max(tries, key=tries.get), tries


def held_out(flags):
    """The flags with the splits of the search, unless the splits are given."""
    given = any(word.startswith(("--train_split=", "--eval_split=")) for word in flags)
    return [*flags, *(HELD_OUT[2:] if given else HELD_OUT)]


def base_rate(method):
    rate = Config(method=method).learning_rate
    return rate(Config(method=method)) if callable(rate) else rate


def train(options, method, flags, speed, seed):
    """One training of the full duration: its result, with the curve of its online head."""
    place = directory(options, method, f"seed_{seed}")
    steps = steps_in(options.minutes, speed, flags)
    result = runs.run(place, *flags, f"--seed={seed}", f"--train_steps={steps}")
    logged = runs.scalars(place, ("train/supervised_acc", "information/effective_rank"))
    minutes = result["train_seconds"] / 60
    accuracy = logged.get("train/supervised_acc", {})
    ranks = logged.get("information/effective_rank", {})
    return {
        "result": result,
        "minutes": minutes,
        "steps": steps,
        "rank": ranks[max(ranks)] if ranks else None,
        "curve": [(minutes * step / steps, value) for step, value in sorted(accuracy.items())],
    }


def passes(config):
    """Passes of an image through an encoder of full width in one step, targets included."""
    of_targets = {"byol": 2, "mocov3": 2, "dino": 2}  # those of MoCo v2 stand in for views
    both = config.method == "mocov2" and "symmetric=True" in (config.method_options or "")
    return config.num_views + config.local_views + of_targets.get(config.method, 2 * int(both))


def report(options, made):
    """Writes the table and the picture."""
    rows = [row(entry) for entry in made]
    header = (
        "| method | rate | minutes | images | passes | linear | kNN-20 | effective rank |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    command = f"python scripts/equal_minutes.py {options.out} --minutes={options.minutes:g}"
    text = (
        f"# Methods in equal time\n\n`{command}`; seeds {', '.join(options.seeds)}. Accuracies on "
        "the test images in %, the mean over the seeds and half of their range. Device: "
        f"{made[0]['runs'][0]['result']['device']}.\n\n![accuracy against minutes](curves.png)\n\n"
        + "\n".join([header, *rows])
    )
    runs.write(os.path.join(options.out, "README.md"), text)
    draw(os.path.join(options.out, "curves.png"), made)


def row(entry):
    results = [one["result"] for one in entry["runs"]]
    config = settings(results[0]["model_dir"])
    images = entry["runs"][0]["steps"] * config.train_batch_size
    ranks = [one["rank"] for one in entry["runs"] if one["rank"] is not None]
    cells = [
        runs.METHODS[entry["method"]],
        f"{entry['rate']:.3g}",
        f"{statistics.mean(one['minutes'] for one in entry['runs']):.1f}",
        f"{images:,}",
        str(passes(config)),
        spread(results, "linear"),
        spread(results, KNN),
        f"{statistics.mean(ranks):.0f}" if ranks else "",
    ]
    return "| " + " | ".join(cells) + " |"


def settings(model_dir):
    from tfssl.runner import parser

    return parser.parse(["run.py", f"--flagfile={os.path.join(model_dir, 'flags.flags')}"])[0]


def spread(results, protocol):
    """Mean and half of the range of an accuracy in percent; "" where it was not measured."""
    found = [100 * of[protocol]["top_1"] for of in map(runs.scores, results) if protocol in of]
    if not found:
        return ""
    return f"{statistics.mean(found):.1f} ± {(max(found) - min(found)) / 2:.1f}"


def draw(path, made):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    styles = ["-", "--", ":"]
    for number, entry in enumerate(made):
        minutes, values = zip(*entry["runs"][0]["curve"] or [(0, 0)])
        axis.plot(
            minutes,
            [100 * value for value in values],
            styles[number // 10 % 3],
            color=f"C{number % 10}",
            label=runs.METHODS[entry["method"]],
        )
    axis.set(xlabel="minutes of training", ylabel="online head, training views, %")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
