"""The doctor: finds what is wrong with a data set, shows it, and writes a corrected copy."""

from visiongarden.data.doctor.diagnose import check_set, diagnose
from visiongarden.data.doctor.fix import fix
from visiongarden.data.doctor.report import KINDS, Report

__all__ = ["KINDS", "Report", "check_set", "diagnose", "fix"]
