"""Times PyTorch's SimCLR training step: python torch_step.py --depth 18 --batch 1024

torchvision's ResNet with the cifar stem in channels_last memory, bfloat16 by autocast, a projection
head, NT-Xent and SGD with Nesterov momentum, on two views that are on the device already. Reads a
number of steps from each line of its input, makes them, and writes the seconds that they took.
"""

import argparse
import json
import sys
import time

import torch
import torchvision


def resnet_of(depth, width):
    """torchvision's ResNet; other widths than 1 are for rehearsals."""
    if width == 1:
        return getattr(torchvision.models, f"resnet{depth}")(weights=None)
    kind = torchvision.models.resnet

    class Narrow(kind.ResNet):
        def _make_layer(self, block, planes, *args, **kwargs):
            if planes == 64:
                self.inplanes = round(64 * width)
                self.bn1 = torch.nn.BatchNorm2d(self.inplanes)
            return super()._make_layer(block, round(planes * width), *args, **kwargs)

    made = Narrow(
        *{18: (kind.BasicBlock, [2, 2, 2, 2]), 50: (kind.Bottleneck, [3, 4, 6, 3])}[depth]
    )
    made.fc = torch.nn.Linear(made.inplanes, 1)
    return made


class Net(torch.nn.Module):
    def __init__(self, depth, times, width=512, out=128):
        super().__init__()
        resnet = resnet_of(depth, times)
        dim = resnet.fc.in_features
        resnet.conv1 = torch.nn.Conv2d(3, resnet.bn1.num_features, 3, 1, 1, bias=False)
        resnet.maxpool, resnet.fc = torch.nn.Identity(), torch.nn.Identity()
        self.encoder = resnet
        self.head = torch.nn.Sequential(
            torch.nn.Linear(dim, width, bias=False),
            torch.nn.BatchNorm1d(width),
            torch.nn.ReLU(inplace=True),
            torch.nn.Linear(width, out, bias=False),
        )

    def forward(self, images):
        return self.head(self.encoder(images))


def nt_xent(z, temperature=0.25):
    """NT-Xent of projections [2 B, D], the views one after the other."""
    z = torch.nn.functional.normalize(z.float(), dim=1)
    logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))
    count = len(z)
    partner = (torch.arange(count, device=z.device) + count // 2) % count
    return torch.nn.functional.cross_entropy(logits, partner)


def build(depth, batch, size, compiled, mode, device, width=1.0):
    """A training step without arguments."""
    net = Net(depth, width).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=True
    )
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True

    def loss_of(images):
        with torch.autocast(device, torch.bfloat16):
            z = net(images)
        return nt_xent(z)

    forward = torch.compile(loss_of, mode=mode) if compiled else loss_of
    views = torch.rand(2 * batch, 3, size, size, device=device)
    views = views.contiguous(memory_format=torch.channels_last)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = forward(views)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--variant", choices=("eager", "compile", "max-autotune"), default="eager")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = time.perf_counter()
    mode = "max-autotune-no-cudagraphs" if options.variant == "max-autotune" else None
    compiled = options.variant != "eager"
    step = build(options.depth, options.batch, options.size, compiled, mode, device, options.width)
    loss = float(step())
    first = time.perf_counter() - began
    for _ in range(3):
        step()
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    about = {"ready": True, "first": first, "loss": loss, "device": name}
    print(json.dumps({**about, "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        count = int(line)
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            loss = step()
        loss = float(loss)
        seconds = time.perf_counter() - began
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
        print(json.dumps({"seconds": seconds, "loss": loss, "peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
