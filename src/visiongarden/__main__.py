"""`python -m visiongarden`."""

from visiongarden.cli import main

main()
