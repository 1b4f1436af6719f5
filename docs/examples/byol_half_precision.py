"""BYOL in mixed precision, saved as one file, loaded, and trained on.

    python docs/examples/byol_half_precision.py [mixed_float16]

`mixed_bfloat16` needs no scaling of the loss; under `mixed_float16` Keras adds it by itself.
"""

import sys

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras

from tfssl.data import shapes


def main(
    policy="mixed_bfloat16", images=2000, epochs=2, batch_size=100, hidden=512, file="byol.keras"
):
    x, _ = shapes.generate("train", images, image_size=32, seed=0)
    views = tfssl.views(x, tfssl.augment.byol(32), batch_size=batch_size)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)  # before the encoder and the model are made
    try:
        encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.25)
        projector = tfssl.layers.byol_head(encoder.output_shape[-1], hidden_dim=hidden)
        predictor = tfssl.layers.byol_head(256, hidden_dim=hidden, name="predictor")
        # The decay of the target rises over the whole training, the part after loading included.
        steps = 2 * epochs * (images // batch_size)
        model = tfssl.BYOL(encoder, projector, predictor, total_steps=steps)
        model.compile(tfssl.LARS(0.4, momentum_form="popular"), weight_decay=1e-6)
        model.fit(views, epochs=epochs, verbose=2)
        model.save(file)  # both networks, the optimizer and its momentum
    finally:
        keras.config.set_dtype_policy(before)

    again = keras.models.load_model(file)
    history = again.fit(views, initial_epoch=epochs, epochs=2 * epochs, verbose=2)
    print(f"steps in all: {int(again.optimizer.iterations)}, policy: {again.dtype_policy.name}")
    return model, again, history.history


if __name__ == "__main__":
    main(*sys.argv[1:2])
