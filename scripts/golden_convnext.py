"""Figures of timm's ConvNeXt to test against: python scripts/golden_convnext.py OUTPUT.npz

Needs torch and timm (tried with 2.15 and 1.0.31), not TensorFlow. For each case of CASES the file
has "CASE/weights/NAME", a state dict of random weights as timm names them, "CASE/images"
[B, H, W, 3] and "CASE/h" [B, D], what timm computes from them in inference mode.
"""

import sys

CASES = {  # whether the perceptrons are convolutions, as in timm's smaller sizes
    "linear": {},
    "convolutions": dict(conv_mlp=True),
}
COMMON = dict(depths=(2, 1, 1, 1), dims=(8, 12, 12, 16), num_classes=0)


def main(path):
    import numpy as np
    import timm
    import torch

    figures = {}
    for number, (case, options) in enumerate(CASES.items()):
        torch.manual_seed(number)
        model = timm.models.ConvNeXt(**COMMON, **options).eval()
        with torch.no_grad():
            for weights in model.parameters():  # so that no two are equal, nor any of them 0
                weights.copy_(0.3 * torch.randn(weights.shape))
            images = torch.rand(2, 3, 32, 64)
            figures[f"{case}/h"] = model(images).numpy()
        figures[f"{case}/images"] = images.permute(0, 2, 3, 1).numpy()
        for name, weights in model.state_dict().items():
            figures[f"{case}/weights/{name}"] = weights.numpy()
    np.savez_compressed(path, **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
