"""The individual checks, one topic per file; `checking.CHECKS` lists their names."""
