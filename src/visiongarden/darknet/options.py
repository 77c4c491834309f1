"""The options that Darknet's parser reads in each section type."""

from __future__ import annotations

import difflib

from visiongarden.darknet.section import Section

# These lists include options without effect on inference: official cfgs contain them.
_EVERY_LAYER = """
burnin_update clip dont_update dontload dontloadscales dontsave learning_rate numload onlyforward
smooth stopbackward train_only_bn truth
"""
_YOLO = """
anchors beta1 beta_nms classes cls_normalizer counters_per_class delta_normalizer dets_for_show
dets_for_track embedding_layer focal_loss ignore_thresh iou_loss iou_normalizer iou_thresh
iou_thresh_kind jitter label_smooth_eps map mask max max_delta new_coords nms_kind num
obj_normalizer objectness_smooth random resize scale_x_y show_details sim_thresh track_ciou_norm
track_history_size truth_thresh uc_normalizer yolo_point
"""
_POOL = "antialiasing maxpool_depth out_channels padding size stride stride_x stride_y"
_OPTIONS = {
    "net": """
        B1 B2 adam adversarial_lr angle aspect attention augment_speed badlabels_reject_threshold
        badlabels_rejection_percentage batch batches_cycle_mult batches_per_cycle blur burn_in
        center channels clip contrastive contrastive_color contrastive_jit_flip cutmix decay
        dynamic_minibatch ema_alpha eps equidistant_point exposure flip gamma gaussian_noise height
        hue init_sequential_subdivisions inputs label_smooth_eps learning_rate learning_rate_min
        letter_box loss_scale max_batches max_chart_loss max_crop max_epochs max_ratio min_crop
        min_ratio mixup momentum mosaic mosaic_bound notruth num_sigmas_reject_badlabels
        optimized_memory policy power random resize_step saturation scale scales seen seq_scales
        sequential_subdivisions sgdr_cycle sgdr_mult step steps subdivisions time_steps track
        try_fix_nan unsupervised weights_reject_freq width workspace_size_limit_MB
        """,
    "activation": "activation",
    "avgpool": "",
    "batchnorm": "",
    "connected": "activation batch_normalize output",
    "contrastive": "classes cls_normalizer contrastive_neg_max max_delta steps temperature "
    "yolo_layer",
    "convolutional": """
        activation angle antialiasing assisted_excitation batch_normalize bin_output binary cbn
        coordconv deform dilation dot filters flipped grad_centr groups pad padding reverse rotate
        share_index size stretch stretch_sway stride stride_x stride_y sway use_bin_output
        wait_stretch xnor
        """,
    "cost": "noobj ratio scale thresh type",
    "crop": "angle crop_height crop_width exposure flip noadjust saturation shift",
    "deconvolutional": "activation batch_normalize filters pad padding size stride",
    "detection": """
        class_scale classes coord_scale coords forced jitter max max_delta noobject_scale num
        object_scale random rescore resize side softmax sqrt
        """,
    "dropout": "dropblock dropblock_size_abs dropblock_size_rel probability",
    "empty": "",
    "Gaussian_yolo": _YOLO,
    "implicit": "activation atoms filters",
    "l2norm": "",
    "local": "activation filters pad size stride",
    "local_avgpool": _POOL,
    "logistic": "",
    "maxpool": _POOL,
    "normalization": "alpha beta kappa size",
    "region": """
        absolute anchors background bias_match class_scale classes classfix coord_scale coords
        focal_loss jitter log map mask_scale max max_delta noobject_scale num object_scale random
        rescore resize softmax sqrt thresh tree
        """,
    "reorg": "extra flatten reverse stride",
    "reorg3d": "extra flatten reverse stride",
    "route": "group_id groups layers stream",
    "sam": "activation from",
    "scale_channels": "activation from scale_wh",
    "shortcut": "activation alpha assisted_excitation beta from weights_normalization weights_type",
    "softmax": "groups noloss spatial temperature tree",
    "upsample": "scale stride",
    "yolo": _YOLO,
}


def check_options(section: Section) -> None:
    """Raise an error if a section contains an option that Darknet does not read there.

    Darknet ignores such options silently, so that a misspelled option has no effect.

    Raises:
        ModelFileError: If there is an unknown option. The message names the file and line, and the
            fix is the nearest valid option.
    """
    if section.kind not in _OPTIONS:
        return  # `geometry` rejects section types that are not supported.
    known = _OPTIONS[section.kind].split()
    known += [] if section.kind == "net" else _EVERY_LAYER.split()
    for option in section.options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1, cutoff=0.6)
            line = section.lines.get(option, section.line)
            delete = f"delete line {line}, which Darknet ignores"
            raise section.error(
                option,
                f"[{section.kind}] has no option {option[:40]!r}",
                rule=f"one of {', '.join(sorted(known))}",
                fix=f"{close[0]}={section.options[option]}" if close else delete,
            )
