"""Pure functions of labels and features: how uneven, harmful or changed a set of pictures is, and how sure that is."""

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
    joint_counts,
    joint_label,
    l2_distance,
    target_distance,
    uniform,
)
from directrix.measurement.metrics.frechet import fid, kid
from directrix.measurement.metrics.harm import attack_success, inappropriate, obedience, unscored
from directrix.measurement.metrics.intervals import (
    Interval,
    Summary,
    bootstrap,
    clustered_share,
    jackknife,
    mean_over_clusters,
    median,
    pooled_mean,
    proportion,
)
from directrix.measurement.metrics.paired import paired_difference, paired_reduction
from directrix.measurement.metrics.significance import fisher_test, sign_test
from directrix.measurement.metrics.similarity import clip_score, feature_distance, identical_share, psnr

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
    "fid",
    "fisher_test",
    "identical_share",
    "inappropriate",
    "jackknife",
    "joint_categories",
    "joint_counts",
    "joint_label",
    "kid",
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
    "uniform",
    "unscored",
    "worst_deviation_ratio",
]
