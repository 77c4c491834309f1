"""Code that uses private names of Keras or of a backend, or that differs by backend.

Each file treats one topic and states why it exists, what it gains, and how it is switched off; a
test fails on private names outside of this package. `switches` lists the fast paths, `versions` the
releases for which they were tested, and `assumptions` what is assumed about each private name.
"""
