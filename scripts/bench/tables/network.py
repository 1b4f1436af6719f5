"""The networks that several tables share, in TensorFlow and in PyTorch."""

import functools


def config(**changes):
    from tfssl import Config

    return Config(
        **{
            **dict(
                dataset="shapes",
                train_split="train[:512]",
                image_size=32,
                stem="cifar",
                resnet_depth=18,
                optimizer="momentum",
                train_batch_size=128,
                train_steps=10**6,
                warmup_epochs=0.0,
                eval_baseline=False,
            ),
            **changes,
        }
    )


def model_of(**changes):
    """(the Job, the compiled model) of a training of tfssl."""
    from tfssl.runner.job import plan
    from tfssl.runner.pretrain import build_model

    job = plan(config(**changes))
    return job, build_model(job)


def step_of(model, batch_size, size=32):
    """The training step on a constant batch, as a function without arguments."""
    import tensorflow as tf

    views = [tf.random.stateless_uniform([batch_size, size, size, 3], [0, i]) for i in (1, 2)]
    batch = {"views": (views[0], views[1]), "label": tf.range(batch_size) % 8}
    train = tf.function(model.train_step, autograph=False)
    return lambda: float(train(batch)["loss"])


def flops(encoder, size=32):
    """Of one image, forward and backward."""
    from tfssl.doctor.speed import flops_of

    return flops_of(encoder, size)


def torch_model(precision, compiled=False):
    """SimCLR of lightly's modules on torchvision's ResNet-18 with the cifar stem: (net, loss)."""
    import torch
    import torchvision
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            resnet = torchvision.models.resnet18()
            resnet.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
            resnet.maxpool, resnet.fc = torch.nn.Identity(), torch.nn.Identity()
            self.encoder, self.head = resnet, SimCLRProjectionHead(512, 512, 128)

        def forward(self, images):
            return self.head(self.encoder(images))

    net = Net().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = NTXentLoss(0.25)
    forward = torch.compile(net) if compiled else net
    cast = functools.partial(torch.autocast, "cpu", torch.bfloat16, precision == "bfloat16")

    def step(view1, view2):
        """One step on two views float32 [B, 3, H, W] in the channels-last format."""
        with cast():
            z = forward(torch.cat([view1, view2]))
        loss = criterion(*z.float().chunk(2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
