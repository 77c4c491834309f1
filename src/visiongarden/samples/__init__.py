"""Operate on images and their annotations with NumPy and OpenCV; imports no backend."""
