"""Is the verdict right? python scripts/verdicts.py OUTPUT_DIR [--jobs=2]

Trains 160 short runs, of five methods on three data sets: 80 that are sound, and 80 that are broken
on purpose, each in one of 16 ways. `tfssl.callbacks.Verdict` measures each of them; what it
measured goes to OUTPUT_DIR/runs.json, and a training that is there is not made again. Writes
OUTPUT_DIR/table.md: what the rules of `tfssl.verdict` say of the trainings, on both halves. The
thresholds of the rules were set on the first half; the halves differ in data set and method.

Needs CIFAR-10 and Imagenette in --data_dir or $TFDS_DATA_DIR, and no GPU.
"""

import argparse
import collections
import dataclasses
import itertools
import multiprocessing
import os
import sys
import time

import runs
from equal_minutes import Records, markdown

METHODS = ("simclr", "byol", "simsiam", "vicreg", "mocov2")
DATASETS = ("shapes", "cifar10", "imagenette")
SIZE, BATCH, IMAGES, HELD_OUT, BATCHES = 16, 128, 4096, 512, 4
STEPS = IMAGES // BATCH  # of an epoch
EPOCHS, FEW = 12, 2
RATE = 2e-3  # of Adam
COMPILED = None  # whether views are compiled, see `tfssl.views`
REFUSED = "refused"  # the error is the verdict
# What has images, labels or views of its own; all else shares those of its data set and seed.
OWN_VIEWS = (
    *("shuffled labels", "mild views", "no augmentation", "identical views"),
    *("views of different images", "constant images", "duplicated images", "one class"),
    *("16 bits clipped", "0 to 255"),
)

SOUND = ("as it is", "other seed", "shuffled labels", "mild views", "LARS")
# {what is broken: (methods, kinds of verdict that tell it)}
LOW = ("not_learning", "improving")
BROKEN = {
    "no predictor": (("byol", "simsiam"), ("collapsing",)),
    "no stopped gradient": (("byol", "simsiam"), ("collapsing",)),
    "rate x 30": (METHODS, ("diverging", "collapsing", "not_learning")),
    "rate / 30": (METHODS, LOW),
    "temperature x 30": (("simclr", "mocov2"), ("not_learning", "starved", "collapsing")),
    "no augmentation": (METHODS, ("too_easy",)),
    "identical views": (METHODS, ("too_easy",)),
    "views of different images": (METHODS, ("not_learning", "collapsing", "unusable")),
    "constant images": (METHODS, ("unusable",)),
    "duplicated images": (METHODS, ("unusable", "too_easy")),
    "one class": (METHODS, ("unusable",)),
    "fixed statistics": (METHODS, ("not_learning", "collapsing", "diverging", "unusable")),
    "frozen encoder": (METHODS, ("not_learning",)),
    "16 bits clipped": (METHODS, ("unusable",)),
    "0 to 255": (METHODS, (REFUSED,)),
    "too short": (METHODS, LOW),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: what is broken, or the variant that is sound."""

    dataset: str
    method: str
    what: str
    seed: int

    @property
    def name(self):
        return f"{self.method} {self.what} {self.seed}"

    @property
    def sound(self):
        return self.what in SOUND

    @property
    def half(self):
        """0: thresholds are set on it; 1: they are tried on it."""
        return (DATASETS.index(self.dataset) + METHODS.index(self.method)) % 2


def plan():
    """All trainings: 80 sound ones, and five of each of the 16 broken ones."""
    made = [
        Run(dataset, method, what, int(what == "other seed"))
        for what in SOUND
        for method in METHODS
        for dataset in DATASETS
    ]
    made += [Run(DATASETS[i % 3], method, "as it is", 2) for i, method in enumerate(METHODS)]
    for number, (what, (methods, _)) in enumerate(BROKEN.items()):
        pairs = [(DATASETS[(number + i) % 3], methods[i % len(methods)]) for i in range(5)]
        if what == "one class":  # Imagenette has too few images of one
            pairs = [(DATASETS[i % 2], method) for i, method in enumerate(methods)]
        if len(methods) < 5:
            pairs = list(itertools.product(DATASETS, methods))[:5]
        made += [Run(*pair, what, 0) for pair in pairs]
    return made


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, each on its cores")
    parser.add_argument("--data_dir", help="of tensorflow_datasets")
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each training")
    options = parser.parse_args(argv)
    records = Records(os.path.join(options.out, "runs.json"))
    left = [
        run
        for run in plan()
        if options.only in run.name and not records.find(run.dataset, run.name, [])
    ]
    began = time.monotonic()
    with pool(options) as workers:
        for count, (run, record) in enumerate(workers.imap_unordered(made, left), start=1):
            records.add(run.dataset, run.name, {"flags": [], **record})
            pace = (time.monotonic() - began) / count
            print(
                f"{count}/{len(left)} {run.dataset} {run.name}: {record['said']} "
                f"({record['seconds']:.0f} s, {pace * (len(left) - count) / 60:.0f} min left)",
                flush=True,
            )
    report(options.out, records)


def pool(options):
    """Processes with equal shares of the cores."""
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    shares = context.Queue()
    for job in range(options.jobs):
        shares.put(cores[job :: options.jobs])
    return context.Pool(options.jobs, start, (shares, options.data_dir, options.epochs))


def start(shares, data_dir, epochs):
    os.sched_setaffinity(0, shares.get())
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if data_dir:
        os.environ["TFDS_DATA_DIR"] = data_dir
    made.epochs, made.images, made.views, made.before = epochs, {}, {}, {}


def made(run):
    """The run, and what its training gave."""
    import keras

    began = time.monotonic()
    keras.backend.clear_session()
    keras.utils.set_random_seed(run.seed)
    try:
        record = trained(run)
    except ValueError as error:  # refused before the first step
        record = {"kind": REFUSED, "said": str(error)}
    return run, {**record, "seconds": round(time.monotonic() - began, 1)}


def trained(run):
    import keras

    import tfssl

    train, test = images_of(run)
    encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=1 / 8, seed=run.seed)
    if run.what == "frozen encoder":
        encoder.trainable = False
    if run.what == "fixed statistics":
        for layer in encoder.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    model = model_of(run, encoder)
    epochs = FEW if run.what == "too short" else made.epochs
    factor = {"rate x 30": 30, "rate / 30": 1 / 30}.get(run.what, 1)
    steps = epochs * STEPS
    if run.what == "LARS":
        schedule = tfssl.WarmupCosine(0.5, steps // 10, steps)
        model.compile(tfssl.LARS(schedule, momentum_form="popular", eeta=0.02), weight_decay=1e-4)
    else:
        schedule = tfssl.WarmupCosine(RATE * factor, steps // 10, steps)
        model.compile(keras.optimizers.Adam(schedule))
    views = kept_views(run, *test, HELD_OUT // BATCHES, 1)
    judged = tfssl.callbacks.Verdict(views, num_batches=BATCHES, verbose=False)
    if (run.dataset, run.seed) not in made.before:
        made.before[run.dataset, run.seed] = accuracy(encoder, run)
    before = made.before[run.dataset, run.seed]
    views = kept_views(run, *train, BATCH, epochs)
    model.fit(views, epochs=epochs, steps_per_epoch=STEPS, callbacks=[judged], verbose=0)
    return {
        "history": judged.history.to_dict(),
        "knn": [before, accuracy(encoder, run)],
        "said": str(judged.now),
        "kind": judged.now.kind,
    }


def accuracy(encoder, run):
    """kNN accuracy on sound images with their labels, whatever it was trained on."""
    import numpy as np

    import tfssl

    train, test = sound_images(run.dataset)
    try:
        found = tfssl.evaluate(encoder, train, test, (tfssl.evaluation.KNN(20),), size=SIZE)
    except (ValueError, ArithmeticError):  # its representations are not finite
        return np.nan
    return found["knn_20"]["top_1"]


def sound_images(dataset):
    """((images, labels), (images, labels)): for training, and held out; uint8."""
    if dataset not in made.images:
        made.images[dataset] = load(dataset)
    (x, y), (x_test, y_test) = made.images[dataset]
    return (x[:IMAGES], y[:IMAGES]), (x_test[:HELD_OUT], y_test[:HELD_OUT])


def load(dataset):
    """As `sound_images`, more of them where there are more."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from tfssl.data import shapes

    if dataset == "shapes":
        return tuple(shapes.generate(split, 16_384, 24, seed=0) for split in ("train", "test"))
    splits = {"cifar10": ("train", "test"), "imagenette": ("train", "validation")}[dataset]
    name = {"imagenette": "imagenette/160px-v2"}.get(dataset, dataset)
    found = []
    for split in splits:
        pairs = tfds.load(name, split=split, as_supervised=True, shuffle_files=False)
        pairs = pairs.map(
            lambda image, label: (tf.image.resize(image, (32, 32), antialias=True), label)
        )
        images, labels = zip(*pairs.as_numpy_iterator())
        order = np.random.default_rng(0).permutation(len(images))
        found.append((np.stack(images).round().astype(np.uint8)[order], np.array(labels)[order]))
    return tuple(found)


def images_of(run):
    """((images, labels), (images, labels)) as the training gets them, broken or not."""
    import numpy as np

    (x, y), (x_test, y_test) = sound_images(run.dataset)
    chance = np.random.default_rng(run.seed)
    match run.what:
        case "shuffled labels":
            y, y_test = chance.permutation(y), chance.permutation(y_test)
        case "constant images":
            x, x_test = (np.full_like(one, 128) for one in (x, x_test))
        case "duplicated images":
            few = chance.permutation(np.arange(len(x)) % 32)
            x, y = x[few], y[few]
            x_test, y_test = x[:HELD_OUT], y[:HELD_OUT]
        case "one class":
            (x, y), (x_test, y_test) = made.images[run.dataset]
            x, y, x_test, y_test = x[y == 3], y[y == 3], x_test[y_test == 3], y_test[y_test == 3]
            x, y = (np.resize(one, (IMAGES, *one.shape[1:])) for one in (x, y))
        case "16 bits clipped":
            x, x_test = (clipped(one, chance) for one in (x, x_test))
        case "0 to 255":
            x, x_test = (one.astype(np.float32) for one in (x, x_test))
    return (x, y), (x_test, y_test)


def clipped(images, chance):
    """Of 16 bits, read as if they had 8: larger values become 255."""
    import numpy as np

    wide = images.astype(np.uint16) * 257 + chance.integers(0, 257, images.shape)
    return np.minimum(wide, 255).astype(np.uint8)


def kept_views(run, x, y, batch_size, epochs):
    """The batches of `views_of` for some epochs, one after the other, made once for many runs."""
    import numpy as np
    import tensorflow as tf

    name = run.what if run.what in OWN_VIEWS else ""
    key = run.dataset, name, run.seed, len(x), batch_size
    kept, there = made.views.get(key, (None, 0))
    if there < epochs:
        dataset = views_of(run, x, y, batch_size)
        of_epochs = [batch for _ in range(epochs) for batch in dataset.as_numpy_iterator()]
        with tf.device("CPU"):
            kept = tf.nest.map_structure(lambda *parts: tf.constant(np.stack(parts)), *of_epochs)
        if not name:
            made.views[key] = kept, epochs
    steps = epochs * (len(x) // batch_size)
    return tf.data.Dataset.range(steps).map(
        lambda step: tf.nest.map_structure(lambda values: values[step], kept)
    )


def views_of(run, x, y, batch_size):
    """A `tf.data.Dataset` of views, broken or not."""
    import tensorflow as tf

    import tfssl

    recipe = tfssl.augment.simclr(SIZE, crop_area=(0.3, 1.0))
    if run.what == "mild views":
        recipe = tfssl.augment.simclr(SIZE, crop_area=(0.5, 1.0), jitter_strength=0.25)
    if run.what == "no augmentation":
        recipe = tfssl.augment.view(
            lambda images, seed: tf.image.resize(images, (SIZE, SIZE), antialias=True)
        )
    settings = {"batch_size": batch_size, "seed": run.seed, "compiled": COMPILED}
    dataset = tfssl.views((x, y), recipe, **settings)
    broken = {
        "identical views": lambda first, second: (first, first),
        "views of different images": lambda first, second: (first, tf.roll(second, 1, axis=0)),
    }.get(run.what)
    if broken:
        dataset = dataset.map(lambda batch: {**batch, "views": broken(*batch["views"])})
    return dataset


def model_of(run, encoder):
    """The method, broken or not; not yet compiled."""
    import keras

    import tfssl

    heads = {"projector": head(256, 128, run.seed)}
    if run.method in ("byol", "simsiam"):
        heads["predictor"] = head(128, 128, run.seed + 1)
        if run.what == "no predictor":
            heads["predictor"] = keras.layers.Identity()
    options = {
        "simclr": {"temperature": 0.2},
        "byol": {"base_target_decay": 0.97},
        "mocov2": {"memory_size": 2048, "memory_decay": 0.99, "temperature": 0.2},
    }.get(run.method, {})
    if run.what == "temperature x 30":
        options["temperature"] *= 30
    method = {
        "simclr": tfssl.SimCLR,
        "byol": tfssl.BYOL,
        "simsiam": tfssl.SimSiam,
        "vicreg": tfssl.VICReg,
        "mocov2": tfssl.MoCoV2,
    }[run.method]
    if run.what == "no stopped gradient":
        method = with_all_gradients(method)
    return method(encoder, **heads, **options, seed=run.seed)


def head(hidden, out, seed):
    """Two layers with batch normalization between them."""
    import keras

    def dense(units, seed):
        return keras.layers.Dense(units, kernel_initializer=keras.initializers.HeNormal(seed))

    return keras.Sequential(
        [
            dense(hidden, seed),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            dense(out, seed + 7),
        ]
    )


def with_all_gradients(method):
    """The method, with the gradient of both sides, and of no target network."""
    from tfssl import Outputs
    from tfssl.losses import negative_cosine

    class WithAllGradients(method):
        def loss_on_views(self, views, labels=None, training=True):
            h = self.encode_views(views, training, apart=True)
            z = self.through(self.projector, h, training, apart=True)
            p = self.through(self.predictor, z, training, apart=True)
            loss = (negative_cosine(p[0], z[1]) + negative_cosine(p[1], z[0])) / 2
            return Outputs(loss, {name: loss for name in self.SCALARS}, h, z)

    return WithAllGradients


def report(out, records):
    """Writes table.md: what the rules say now of what was measured."""
    from tfssl import verdict

    judged = []
    for run in plan():
        record = records.find(run.dataset, run.name, [])
        if not record:
            continue
        kind = REFUSED
        if "history" in record:
            history = verdict.History.from_dict(record["history"])
            kind = verdict.judge(history.points, history.facts).kind
        judged.append((run, kind, record))
    kinds = [*verdict.KINDS, REFUSED]
    table = [["training", *(kind.replace("_", " ") for kind in kinds)]]
    for what in (*SOUND, *BROKEN):
        of = collections.Counter(kind for run, kind, _ in judged if run.what == what)
        table.append([what, *(str(of[kind] or "") for kind in kinds)])
    lines = [markdown(table), ""]
    for half, name in ((0, "half that set the thresholds"), (1, "other half")):
        of = [(run, kind) for run, kind, _ in judged if run.half == half]
        broken = [(run, kind) for run, kind in of if not run.sound]
        sound = [(run, kind) for run, kind in of if run.sound]
        told = [kind in alarms(verdict, run) for run, kind in broken]
        right = [kind in BROKEN[run.what][1] for run, kind in broken]
        alarmed = [kind in alarms(verdict, run) for run, kind in sound]
        lines.append(
            f"- The {name}: of the broken {share(told)} are told, {share(right)} with the right "
            f"kind; of the sound {share(alarmed)} are alarmed."
        )
    missed = [
        f"- {run.dataset}, {run.name}: {kind}"
        for run, kind, _ in judged
        if (kind in alarms(verdict, run)) == run.sound
    ]
    text = "\n".join(
        [f"`python scripts/verdicts.py {out}`", "", *lines, "", "Errors:", "", *missed]
    )
    runs.write(os.path.join(out, "table.md"), text)


def alarms(verdict, run):
    """The kinds that tell that a training is broken."""
    return {*verdict.BROKEN, "starved", REFUSED, *BROKEN.get(run.what, ((), ()))[1]}


def share(flags):
    """Count, share and its exact 95 % interval."""
    from scipy.stats import binomtest

    if not flags:
        return "0 of 0"
    interval = binomtest(sum(flags), len(flags)).proportion_ci()
    return f"{sum(flags)} of {len(flags)} ({interval.low:.0%} to {interval.high:.0%})"


if __name__ == "__main__":
    main(sys.argv[1:])
