"""The same architecture in Keras's layers only, as the reference for opening a file.

It is written from the same table as the parts, like `torch_native`, and saved and opened by Keras.
"""


def build(depth, width, classes, size, max_channels=1024, bins=16):
    """Build the functional model; it returns the boxes of each level, then the classes."""
    from keras import Input, Model, layers

    def conv(x, outputs, kernel=1, stride=1):
        if stride > 1:
            x = layers.ZeroPadding2D(kernel // 2)(x)
        padding = "valid" if stride > 1 else "same"
        x = layers.Conv2D(outputs, kernel, stride, padding, use_bias=False)(x)
        return layers.Activation("silu")(layers.BatchNormalization(momentum=0.97)(x))

    def split(x, outputs, repeats, shortcut=True):
        half = outputs // 2
        x = conv(x, 2 * half)
        parts = [x[..., :half], x[..., half:]]
        for _ in range(repeats):
            y = conv(conv(parts[-1], half, 3), half, 3)
            parts.append(layers.Add()([parts[-1], y]) if shortcut else y)
        return conv(layers.Concatenate()(parts), outputs)

    def joined(x, y):
        return layers.Concatenate()([x, y])

    def scaled(channels):
        return max(8, -(-int(min(channels, max_channels) * width) // 8) * 8)

    def repeats(number):
        return max(round(number * depth), 1)

    c1, c2, c3, c4, c5 = (scaled(c) for c in (64, 128, 256, 512, 1024))
    images = Input((size, size, 3))
    x, maps = conv(images, c1, 3, 2), []
    for channels, number in ((c2, 3), (c3, 6), (c4, 6), (c5, 3)):
        x = split(conv(x, channels, 3, 2), channels, repeats(number))
        maps.append(x)
    _, p3, p4, _ = maps
    views = [conv(x, c5 // 2)]
    for _ in range(3):
        views.append(layers.MaxPooling2D(5, 1, "same")(views[-1]))
    p5, units = conv(layers.Concatenate()(views), c5), repeats(3)
    d4 = split(joined(layers.UpSampling2D()(p5), p4), c4, units, False)
    d3 = split(joined(layers.UpSampling2D()(d4), p3), c3, units, False)
    u4 = split(joined(conv(d3, c3, 3, 2), d4), c4, units, False)
    u5 = split(joined(conv(u4, c4, 3, 2), p5), c5, units, False)
    box, cls = max(16, c3 // 4, 4 * bins), max(c3, min(classes, 100))
    raw = [
        layers.Conv2D(outputs, 1)(conv(conv(x, hidden, 3), hidden, 3))
        for hidden, outputs in ((box, 4 * bins), (cls, classes))
        for x in (d3, u4, u5)
    ]
    return Model(images, raw)
