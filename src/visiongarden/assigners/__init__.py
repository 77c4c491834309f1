"""Assigners: decide which prediction is trained on which object."""

from visiongarden.assigners.anchor_iou import AnchorIoU, Positives
from visiongarden.assigners.sim_ota import Matches, SimOTA
from visiongarden.assigners.task_aligned import Assignment, TaskAligned

__all__ = ["AnchorIoU", "Assignment", "Matches", "Positives", "SimOTA", "TaskAligned"]
