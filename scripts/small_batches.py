"""Methods by batch size: python scripts/small_batches.py OUTPUT_DIR [--batches=16,32,64,256]

Trains each method on the same number of images in batches of several sizes, and writes
OUTPUT_DIR/small_batches.md, kNN accuracies. OUTPUT_DIR is that of scripts/equal_minutes.py, which
has found the rates: those of batches of 256, scaled by the square root of the size. Trainings that
are in OUTPUT_DIR/runs.json are not made again.
"""

import os
import sys

import equal_minutes
import runs

# SimCLR, and methods whose papers or users say that they need no large batch.
METHODS = "simclr,dcl,byol,simsiam,barlow_twins,mocov2"


def main(argv):
    options = parse(argv)
    pairs = [(method, batch) for method in options.methods for batch in options.batches]
    found = dict(zip(pairs, equal_minutes.side_by_side(options, of_batch, pairs)))
    sizes = [f"{batch}" for batch in options.batches]
    table = [["method", *sizes]]
    for method in options.methods:
        values = [found[method, batch]["accuracy"][equal_minutes.KNN] for batch in options.batches]
        table.append([runs.METHODS[method], *(f"{100 * value:.1f}" for value in values)])
    text = (
        f"`{command(options)}`\n\nkNN accuracy (k = 20) on the test images in "
        f"%, after {options.images:,} images in batches of so many, one seed.\n\n"
        f"{equal_minutes.markdown(table)}"
    )
    runs.write(os.path.join(options.out, "small_batches.md"), text)


def parse(argv):
    parser = equal_minutes.arguments(__doc__, METHODS)
    parser.add_argument("--batches", default="16,32,64,256", help="sizes, comma-separated")
    parser.add_argument("--images", type=int, default=120_000, help="of each training")
    options = equal_minutes.read(parser, argv)
    options.batches = [int(batch) for batch in options.batches.split(",")]
    for method in options.methods:
        if not options.records.of(method, "seed_"):
            parser.error(f"--methods: {method} has no rate yet; run scripts/equal_minutes.py first")
    return options


def of_batch(options, pair):
    """The record of one training."""
    method, batch = pair
    rate = equal_minutes.last(options.records.of(method, "seed_")[0]["flags"], equal_minutes.RATE)
    base = float(rate) / 256**0.5  # as sqrt scaling multiplies by the root of the whole batch
    flags = [
        *equal_minutes.flags_of(options, method),
        f"--{equal_minutes.RATE}={base:.3g}",
        "--learning_rate_scaling=sqrt",
        f"--train_batch_size={batch}",
        f"--train_steps={options.images // batch}",
        "--nolinear_probe",
    ]
    return equal_minutes.train(options, method, f"batch_{batch}", flags)


def command(options):
    words = [f"--batches={','.join(map(str, options.batches))}", f"--images={options.images}"]
    return equal_minutes.command("small_batches", options, words)


if __name__ == "__main__":
    main(sys.argv[1:])
