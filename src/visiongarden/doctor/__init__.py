"""Check datasets, report their issues, write corrected copies and convert between formats.

An error is what reading or training refuses, found by the same code. A warning is a likely mistake,
a note a fact that may be unexpected. Leakage between splits is a warning: metrics become too high,
but the user may know why, and a public dataset must stay comparable.
"""

from visiongarden.doctor.checking import check
from visiongarden.doctor.diagnosis import diagnose
from visiongarden.doctor.fixing import fix
from visiongarden.doctor.report import KINDS, Report
from visiongarden.doctor.verbs import (
    ContactSheet,
    ConversionResult,
    check_dataset,
    convert_dataset,
    show_dataset,
)

__all__ = [
    "KINDS",
    "ContactSheet",
    "ConversionResult",
    "Report",
    "check",
    "check_dataset",
    "convert_dataset",
    "diagnose",
    "fix",
    "show_dataset",
]
