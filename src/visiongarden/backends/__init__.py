"""Code that depends on private names or the behavior of one backend."""
