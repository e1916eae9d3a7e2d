"""Statistics for experiments: intervals and tests whose error rates were measured."""

from .categories import categories_test, cramers_v
from .comparison import Comparison, compare
from .contrasts import Contrast, adjust, contrast
from .differences import paired_difference, unpaired_difference, variance_ratio
from .effects import cohens_dz, hedges_g
from .intervals import mean, median, proportion, wilson
from .multiple import benjamini_hochberg, holm
from .ordered import cliffs_delta, ordered_test
from .permutation import equivalence_test, permutation_test, sign_flip_test
from .proportions import fisher_test, mcnemar_test, proportion_difference
from .results import Estimate, Interval, StatisticsError, Test
from .summary import ArmSummary, summarize, summarize_values
from .tables import read_table

__all__ = [
    "ArmSummary",
    "Comparison",
    "Contrast",
    "Estimate",
    "Interval",
    "StatisticsError",
    "Test",
    "adjust",
    "benjamini_hochberg",
    "categories_test",
    "cliffs_delta",
    "cohens_dz",
    "compare",
    "contrast",
    "cramers_v",
    "equivalence_test",
    "fisher_test",
    "hedges_g",
    "holm",
    "mcnemar_test",
    "mean",
    "median",
    "ordered_test",
    "paired_difference",
    "permutation_test",
    "proportion",
    "proportion_difference",
    "read_table",
    "sign_flip_test",
    "summarize",
    "summarize_values",
    "unpaired_difference",
    "variance_ratio",
    "wilson",
]
