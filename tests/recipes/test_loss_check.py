"""Losses of the user are checked before a run starts."""

from typing import ClassVar

import pytest
from keras import ops

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.recipes.loss_check import check_own_losses
from visiongarden.types import Term


def squares(raw, targets):
    (level,) = raw.values()
    return ops.square(level["classes"] - ops.cast(targets["labels"], "float32"))


class Right(vg.losses.ClassificationLoss):
    def __call__(self, raw, targets, context):
        found = squares(raw, targets)
        return {"class": Term(ops.sum(found), ops.sum(ops.ones_like(found[:, 0])))}


class Vector(vg.losses.ClassificationLoss):
    def __call__(self, raw, targets, context):
        return {"class": Term(ops.sum(squares(raw, targets), axis=-1), ops.ones(()))}


class Scalar(vg.losses.ClassificationLoss):
    def __call__(self, raw, targets, context):
        return ops.sum(squares(raw, targets))


class Ignores(vg.losses.ClassificationLoss):
    def __call__(self, raw, targets, context):
        labels = ops.cast(targets["labels"], "float32")
        return {"class": Term(ops.sum(labels), ops.sum(labels))}


class Divides(vg.losses.ClassificationLoss):
    def __call__(self, raw, targets, context):
        return {"class": Term(ops.mean(squares(raw, targets)), ops.ones(()))}


class Skipped(vg.losses.ClassificationLoss):
    examples: ClassVar = {"skip": ["loss"]}

    def __call__(self, raw, targets, context):
        return {"class": Term(ops.mean(squares(raw, targets)), ops.ones(()))}


class Mean(vg.losses.ScoreLoss):
    def __call__(self, targets, logits):
        return ops.mean(ops.square(targets - logits))


@pytest.mark.parametrize("loss", [vg.losses.ClassificationLoss(), Right(), Skipped()])
def test_losses_that_are_accepted(loss):
    check_own_losses(vg.heads.Classification(num_classes=3, loss=loss))


@pytest.mark.parametrize(
    ("loss", "words", "fix"),
    [
        (Vector(), r"Vector is wrong: the term 'class' has shape \(", "reduce it to a scalar"),
        (Scalar(), "not a dict", "return a dict"),
        (Ignores(), "does not depend on the raw prediction", "use each output"),
        (Divides(), "the sum of those of its images", "undivided"),
    ],
)
def test_losses_that_are_refused(loss, words, fix):
    with pytest.raises(UserError, match=words) as error:
        check_own_losses(vg.heads.Classification(num_classes=3, loss=loss))
    assert fix in error.value.fix


def test_a_part_of_a_loss_is_checked():
    loss = vg.losses.MultiLabelLoss(class_loss=Mean())
    with pytest.raises(UserError, match=r"the loss Mean is wrong: the loss has the shape \(\)"):
        check_own_losses(vg.heads.MultiLabel(num_classes=3, loss=loss))
    heads = {"kinds": vg.heads.MultiLabel(num_classes=3, loss=loss)}
    with pytest.raises(UserError, match="Mean is wrong"):
        check_own_losses(vg.heads.CombinedHeads(heads=heads))
