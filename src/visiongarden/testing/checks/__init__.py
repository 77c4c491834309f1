"""The checks, one subject a file; `checking.CHECKS` lists them by name."""
