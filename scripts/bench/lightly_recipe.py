"""lightly's recipe for CIFAR-10 in a given time: python scripts/bench/lightly_recipe.py OUTPUT.json

SimCLR as the benchmark in lightly's documentation has it: its ResNet-18 for CIFAR, batches of 128,
SGD at 0.06 with momentum and weight decay 5e-4, a cosine down to zero, temperature 0.5, the crops
and colours of its SimCLRTransform at half strength without blur. Changed, in its favour: bfloat16
and channels-last, and a cosine over the time that is given, by the step, not over 200 epochs.

What it learned is scored as run.py scores an encoder, on the whole test split. Needs lightly and
torchvision beside the project, and CIFAR-10 under --data_dir.
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

BATCH, WORKERS, CLASSES, PEAK = 128, 2, 10, 0.06
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # lightly's, for the test images


def arrays(data_dir, split):
    """(images uint8 [N, 32, 32, 3], labels); TensorFlow stays out of what forks the workers."""
    import tensorflow_datasets as tfds

    data = tfds.as_numpy(tfds.load("cifar10", split=split, data_dir=data_dir, batch_size=-1))
    return data["image"], data["label"]


class Views:
    """Two views of every image, in an order that never repeats within an epoch."""

    def __init__(self, images):
        from lightly.transforms import SimCLRTransform
        from PIL import Image

        self.images = [Image.fromarray(image) for image in images]
        self.make = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return tuple(self.make(self.images[index]))


def train(images, seconds):
    """(the trained backbone, steps, seconds) after about `seconds`, first batch included."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models import ResNetGenerator
    from lightly.models.modules import SimCLRProjectionHead

    layers = list(ResNetGenerator("resnet-18").children())[:-1]
    backbone = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    net = torch.nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128))
    net = net.to(memory_format=torch.channels_last)
    criterion = NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=PEAK, momentum=0.9, weight_decay=5e-4)
    loader = torch.utils.data.DataLoader(
        Views(images),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    start, steps = time.monotonic(), 0
    while True:
        for views in loader:
            spent = time.monotonic() - start
            if spent >= seconds:
                return backbone, steps, spent
            for group in optimizer.param_groups:
                group["lr"] = PEAK * 0.5 * (1 + math.cos(math.pi * spent / seconds))
            views = [view.to(memory_format=torch.channels_last) for view in views]
            with torch.autocast("cpu", torch.bfloat16):
                z = [net(view) for view in views]
            loss = criterion(*(each.float() for each in z))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if steps % 20 == 1:
                rate = steps * BATCH / (time.monotonic() - start)
                print(
                    f"{steps} steps  loss {loss.item():.3f}  {rate:.0f} images/s  "
                    f"{seconds - spent:.0f} s left",
                    flush=True,
                )


def represent(backbone, images):
    import numpy as np
    import torch

    backbone.eval()
    found = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images), 500):
            batch = torch.from_numpy(images[start : start + 500]).float() / 255
            batch = (batch - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
            batch = batch.permute(0, 3, 1, 2)  # of channels-last memory, as it lies
            found.append(backbone(batch).float().numpy())
    return np.concatenate(found)


def scores(backbone, splits):
    from tfssl import evaluation
    from tfssl.runner.evaluate import score

    (train_h, train_labels), (test_h, test_labels) = [
        (represent(backbone, images), labels) for images, labels in splits
    ]
    found = {"linear": evaluation.linear_probe(train_h, train_labels, test_h, num_classes=CLASSES)}
    votes = evaluation.knn_scores(train_h, train_labels, test_h, k=(20, 200), num_classes=CLASSES)
    found |= {f"knn_{k}": votes[k] for k in votes}
    return {protocol: score(logits, test_labels) for protocol, logits in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output")
    parser.add_argument("--data_dir", required=True, help="where TFDS has cifar10")
    parser.add_argument(
        "--seconds", type=float, default=1800, help="for the training; the evaluation comes on top"
    )
    arguments = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        splits = [pool.apply(arrays, (arguments.data_dir, split)) for split in ("train", "test")]
    import lightly
    import torch

    torch.manual_seed(0)
    begun = time.monotonic()
    backbone, steps, seconds = train(splits[0][0], arguments.seconds)
    result = {
        "steps": steps,
        "epochs": steps * BATCH / len(splits[0][0]),
        "train_seconds": seconds,
        "images_per_second": steps * BATCH / seconds,
        "pretrained": scores(backbone, splits),
        "seconds": time.monotonic() - begun,
        "lightly": lightly.__version__,
        "torch": torch.__version__,
    }
    with open(arguments.output, "w") as file:
        file.write(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
