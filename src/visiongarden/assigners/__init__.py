"""Assigners: which target belongs to which prediction."""

from visiongarden.assigners.anchor_iou import AnchorIoU, Positives
from visiongarden.assigners.sim_ota import Matches, SimOTA
from visiongarden.assigners.task_aligned import Assignment, TaskAligned

__all__ = ["AnchorIoU", "Assignment", "Matches", "Positives", "SimOTA", "TaskAligned"]
