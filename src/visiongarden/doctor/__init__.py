"""The doctor: finds what is wrong with a data set, shows it, and writes a corrected copy."""

from visiongarden.doctor.check import check
from visiongarden.doctor.convert import TARGETS, convert
from visiongarden.doctor.diagnose import check_set, diagnose
from visiongarden.doctor.fix import fix
from visiongarden.doctor.report import KINDS, Report

__all__ = ["KINDS", "TARGETS", "Report", "check", "check_set", "convert", "diagnose", "fix"]
