"""The few-label protocols as files: python scripts/label_lists.py OUTPUT_DIR --dataset=cifar10

Writes DATASET_PERCENTpct_seedSEED.txt for every share of the labels and every seed: the places of
the images in the split, in tensorflow_datasets' order, equal numbers of every class. They are what
run.py's --label_fraction draws with that --seed, and what its --label_list reads.
"""

import argparse
import os

import runs

from tfssl.runner import sources


def text(config, places, total):
    each = len(places)
    return "\n".join(
        [
            f"# {config.dataset} {config.train_split}: {each} of {total:,} images, equal numbers "
            f"of every class; --label_fraction={config.label_fraction:g} --seed={config.seed}",
            *map(str, places),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data_dir")
    parser.add_argument("--train_split", default="train")
    parser.add_argument("--fractions", default="0.01,0.1")
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    from tfssl import Config, UsageError  # here: they load TensorFlow

    os.makedirs(arguments.output_dir, exist_ok=True)
    try:
        source = None
        for fraction in map(float, arguments.fractions.split(",")):
            for seed in map(int, arguments.seeds.split(",")):
                config = Config(
                    mode="finetune",
                    checkpoint="none",
                    dataset=arguments.dataset,
                    data_dir=arguments.data_dir,
                    train_split=arguments.train_split,
                    label_fraction=fraction,
                    seed=seed,
                )
                source = source or sources.load(config, config.train_split)
                name = config.dataset.split("/")[0].split(":")[0]
                path = os.path.join(arguments.output_dir, runs.label_list(name, fraction, seed))
                places = sources.label_indices(config, source)
                runs.write(path, text(config, places, source.num_examples))
                print(path)
    except UsageError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
