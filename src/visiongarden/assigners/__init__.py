"""Assigners: decide which prediction is trained on which object."""

from visiongarden.assigners.anchor_iou import AnchorIoU
from visiongarden.assigners.assigner import Assigner
from visiongarden.assigners.max_iou import MaxIoU
from visiongarden.assigners.sim_ota import SimOTA
from visiongarden.assigners.task_aligned import TaskAligned

__all__ = ["AnchorIoU", "Assigner", "MaxIoU", "SimOTA", "TaskAligned"]
