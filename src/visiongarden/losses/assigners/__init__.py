"""Assigners: which target belongs to which prediction."""

from visiongarden.losses.assigners.anchor_iou import AnchorIoU, Positives
from visiongarden.losses.assigners.sim_ota import Matches, SimOTA
from visiongarden.losses.assigners.task_aligned import Assignment, TaskAligned

__all__ = ["AnchorIoU", "Assignment", "Matches", "Positives", "SimOTA", "TaskAligned"]
