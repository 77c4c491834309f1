"""Run the command line with `python -m visiongarden`."""

from visiongarden.cli import main

main()
