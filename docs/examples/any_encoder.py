"""SimCLR around an encoder of keras.applications, on arrays.

    python docs/examples/any_encoder.py

Any `keras.Layer` that takes images can take the encoder's place. What is made inside (the
projector) is not part of the saved encoder.
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras

from tfssl.data import shapes


def main(images=3000, test_images=1000, epochs=4, batch_size=250, file="encoder.keras"):
    # The embedded dataset as arrays: images uint8 [N, 32, 32, 3], labels int64 [N].
    x, y = shapes.generate("train", images, image_size=32, seed=0)
    x_test, y_test = shapes.generate("test", test_images, image_size=32, seed=0)

    encoder = keras.applications.MobileNetV3Small(
        include_top=False, pooling="avg", weights=None, input_shape=(None, None, 3)
    )
    model = tfssl.SimCLR(encoder, temperature=0.2)
    model.compile("adam")
    views = tfssl.views(x, tfssl.augment.simclr(32), batch_size=batch_size)
    history = model.fit(views, epochs=epochs, verbose=2)

    accuracies = tfssl.evaluate(encoder, (x, y), (x_test, y_test))
    for protocol, found in accuracies.items():
        print(f"{protocol}: {100 * found['top_1']:.1f} % of {found['examples']} images")
    encoder.save(file)
    return history.history, accuracies


if __name__ == "__main__":
    main()
