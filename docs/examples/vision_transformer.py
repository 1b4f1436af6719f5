"""SimCLR around a small Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).

    python docs/examples/vision_transformer.py

The encoder returns tokens [B, n, D]; the representation is their mean.
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras

from tfssl.data import shapes


@keras.saving.register_keras_serializable(package="mine")
class Positions(keras.layers.Layer):
    """Adds a learned vector to every token."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=input_shape[1:], initializer="random_normal")

    def call(self, tokens):
        return tokens + self.table


def block(tokens, dim, heads):
    """Attention and a two-layer perceptron, each normalized before and added after."""
    x = keras.layers.LayerNormalization(epsilon=1e-6)(tokens)
    tokens = tokens + keras.layers.MultiHeadAttention(heads, dim // heads)(x, x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(tokens)
    x = keras.layers.Dense(4 * dim, activation="gelu")(x)
    return tokens + keras.layers.Dense(dim)(x)


def vision_transformer(size=32, patch=4, dim=96, depth=4, heads=3, channels=3):
    """Images [B, size, size, channels] -> tokens [B, (size / patch)^2, dim]."""
    images = keras.Input((size, size, channels))
    x = keras.layers.Conv2D(dim, patch, patch, name="patches")(images)
    x = Positions()(keras.layers.Reshape((-1, dim))(x))
    for _ in range(depth):
        x = block(x, dim, heads)
    return keras.Model(images, keras.layers.LayerNormalization(epsilon=1e-6)(x), name="vit")


def main(images=2000, epochs=3, batch_size=100, **sizes):
    x, y = shapes.generate("train", images, image_size=32, seed=0)
    encoder = vision_transformer(**sizes)
    model = tfssl.SimCLR(encoder, num_classes=10)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.05))
    views = tfssl.views((x, y), tfssl.augment.simclr(32), batch_size=batch_size)
    history = model.fit(views, epochs=epochs, verbose=2).history
    print(f"tokens {encoder.output_shape}, representation {model(x[:2] / 255.0).shape}")
    return model, history


if __name__ == "__main__":
    main()
