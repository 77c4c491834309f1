"""Code that depends on private names of Keras, or on the behavior of one backend.

Each file states why it exists, what it gains, and what fails without it:

- `keras_internals`: building without weights, tracing and naming, through private names of Keras.
- `keras_stubs`, `keras_classes`: classes in files, which Keras finds before they are imported.
- `captured`: captured functions on PyTorch, in place of the compilation of the other backends.
- `memory`, `garbage`: freed memory, and the garbage collector while many objects are created.
- `xla`: options of JAX's compiler on a CPU.
"""
