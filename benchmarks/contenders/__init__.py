"""Contenders: each file is a process that runs steps on request."""
