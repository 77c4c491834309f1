"""Components for the proof of resumption, in a module that its processes can import."""

import keras

import visiongarden as vg


@vg.register(package="hidden_state")
class Patches(vg.Backbone):
    """One convolution and dropout, which are traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Dropout(0.2)(keras.layers.Conv2D(4, 32, strides=32)(image))}


class Drift(keras.callbacks.Callback):
    """Changes a weight by a number that it keeps to itself, and no checkpoint contains."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1

    def on_epoch_end(self, epoch, logs=None):
        weight = self.model.trainable_weights[-1]
        weight.assign(weight.value + 0.001 * self.count)
