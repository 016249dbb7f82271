"""Pure functions of labels and features: how uneven, harmful or changed a set of images is, and how sure that is."""

from directrix.measurement.metrics.deviation_ratio import (
    deviation_ratio,
    deviation_ratios,
    mean_deviation_ratio,
    mean_over_groups,
    worst_deviation_ratio,
)
from directrix.measurement.metrics.distribution import (
    entropy,
    joint_categories,
    joint_label,
    l2_distance,
    target_distance,
)
from directrix.measurement.metrics.harm import attack_success, obedience
from directrix.measurement.metrics.intervals import (
    Interval,
    Summary,
    bootstrap,
    clustered_share,
    fisher_test,
    jackknife,
    mean_over_clusters,
    median,
    pooled_mean,
    proportion,
    sign_test,
)
from directrix.measurement.metrics.paired import paired_difference, paired_reduction
from directrix.measurement.metrics.similarity import clip_score, feature_distance, psnr

__all__ = [
    "Interval",
    "Summary",
    "attack_success",
    "bootstrap",
    "clip_score",
    "clustered_share",
    "deviation_ratio",
    "deviation_ratios",
    "entropy",
    "feature_distance",
    "fisher_test",
    "jackknife",
    "joint_categories",
    "joint_label",
    "l2_distance",
    "mean_deviation_ratio",
    "mean_over_clusters",
    "mean_over_groups",
    "median",
    "obedience",
    "paired_difference",
    "paired_reduction",
    "pooled_mean",
    "proportion",
    "psnr",
    "sign_test",
    "target_distance",
    "worst_deviation_ratio",
]
