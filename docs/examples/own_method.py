"""A method of your own: SimSiam (Chen & He 2020, arXiv:2011.10566) on `tfssl.SelfSupervised`.

python docs/examples/own_method.py
python run.py --plugin=docs/examples/own_method.py --method=simsiam2 --dataset=shapes
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras

from tfssl.data import shapes


@tfssl.register("simsiam2")  # for `keras.models.load_model`, and --method=simsiam2 of the program
class SimSiam2(tfssl.SelfSupervised):
    """The prediction of one view approaches the projection of the other, which has no gradient."""

    SCALARS = ("similarity",)

    def make_heads(self):
        projector = tfssl.layers.projector(self.dim, out_dim=256, hidden_dim=256)
        predictor = tfssl.layers.byol_head(256, out_dim=256, hidden_dim=64, name="predictor")
        sizes = {"projector": (projector, self.dim), "predictor": (predictor, 256)}
        return {name: self.head(layer, width, name) for name, (layer, width) in sizes.items()}

    def loss_on_views(self, views, labels=None, training=True):
        h = tuple(self.encode(view, training) for view in views)
        z = tuple(self.projector(features, training=training) for features in h)
        p = tuple(self.predictor(projection, training=training) for projection in z)
        similarity = (cosine(p[0], z[1]) + cosine(p[1], z[0])) / 2
        return tfssl.Outputs(-similarity, {"similarity": similarity}, h, z)


def cosine(p, z):
    """Mean cosine; the gradient goes through the prediction p alone. float32 scalar."""
    p, z = keras.ops.cast(p, "float32"), keras.ops.cast(keras.ops.stop_gradient(z), "float32")
    return -keras.ops.mean(keras.losses.cosine_similarity(z, p))


def main(images=2000, epochs=3, batch_size=100, width=0.25):
    images = shapes.generate("train", images, image_size=32, seed=0)  # and their labels
    model = SimSiam2(
        tfssl.encoders.resnet(18, stem="cifar", width_multiplier=width), num_classes=10
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), weight_decay=1e-4)
    views = tfssl.views(images, tfssl.augment.simclr(32), batch_size)
    return model, model.fit(views, epochs=epochs, verbose=2).history


if __name__ == "__main__":
    main()
