"""After pretraining: a linear classifier, finetuning, and distillation into a smaller network.

    python docs/examples/finetune.py

`Supervised` and `Distilled` train on one view of each image, so `num_views` is 1.
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras

from tfssl.data import shapes


def resnet(width, seed=0):
    return tfssl.encoders.resnet(18, stem="cifar", width_multiplier=width, seed=seed)


def one_view(x, y, batch_size):
    recipe = tfssl.augment.supervised(32)
    return tfssl.views((x, y), recipe, batch_size=batch_size, num_views=1)


def main(images=2000, labelled=500, epochs=3, batch_size=100, width=0.25):
    x, y = shapes.generate("train", images, image_size=32, seed=0)
    few, test = one_view(x[:labelled], y[:labelled], batch_size), one_view(x, y, batch_size)

    encoder = resnet(width)
    pretraining = tfssl.SimCLR(encoder)
    pretraining.compile("adam")
    pretraining.fit(tfssl.views(x, tfssl.augment.simclr(32), batch_size), epochs=epochs, verbose=2)

    # A linear classifier: the encoder is frozen before the model is made.
    encoder.trainable = False
    linear = tfssl.Supervised(encoder, num_classes=10)
    linear.compile(keras.optimizers.Adam(1e-2))
    linear.fit(few, epochs=epochs, verbose=2)
    learned = [len(linear.trainable_variables)]  # kernel and bias

    # Finetuning: everything learns, at a small rate, from the classifier just trained.
    encoder.trainable = True
    tuned = tfssl.Supervised(encoder, head=linear.head)
    tuned.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), weight_decay=1e-4)
    tuned.fit(few, validation_data=test, epochs=epochs, verbose=2)
    learned.append(len(tuned.trainable_variables))

    # Distillation: a student of half the width learns the teacher's answers on all images, without
    # labels. Any model from images to logits can teach.
    student = tfssl.Distilled(resnet(width / 2, seed=1), teacher=tuned)
    student.compile("adam")
    unlabelled = tfssl.views(x, tfssl.augment.supervised(32), batch_size, num_views=1)
    history = student.fit(unlabelled, epochs=epochs, verbose=2).history
    print(f"the student's first choice is the teacher's: {history['teacher_agreement'][-1]:.2f}")
    return learned, tuned, student


if __name__ == "__main__":
    main()
