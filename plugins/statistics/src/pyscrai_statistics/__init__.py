"""Statistics for experiments: intervals and tests whose error rates were measured."""

from .agreement import krippendorff_alpha, ratings_of
from .categories import categories_test, cramers_v
from .comparison import Comparison, compare
from .contrasts import adjust, contrast
from .differences import paired_difference, unpaired_difference, variance_ratio
from .effects import cohens_dav, cohens_dz, hedges_g
from .factors import FactorEffects, factor_effects
from .inspect_logs import read_inspect
from .intervals import mean, median, proportion, wilson
from .mixed import MixedModel, mixed_model
from .multiple import benjamini_hochberg, holm
from .ordered import cliffs_delta, ordered_test
from .permutation import equivalence_test, permutation_test, sign_flip_test
from .power import power_paired, power_proportions, replicates_paired, replicates_proportions
from .proportions import fisher_test, mcnemar_test, proportion_difference
from .reference import ReferenceComparison, compare_to_reference
from .results import Contrast, Estimate, Interval, StatisticsError, Test
from .sensitivity import Morris, Sobol, morris_design, morris_indices, sobol_design, sobol_indices
from .sequential import ConfidenceSequence, asymptotic_sequence, betting_sequence
from .spread import Components, entropy, first_option_share, straight_lining_share, variance_components
from .summary import ArmSummary, summarize, summarize_values
from .tables import read_table

__all__ = [
    "ArmSummary",
    "Comparison",
    "Components",
    "ConfidenceSequence",
    "Contrast",
    "Estimate",
    "FactorEffects",
    "Interval",
    "MixedModel",
    "Morris",
    "ReferenceComparison",
    "Sobol",
    "StatisticsError",
    "Test",
    "adjust",
    "asymptotic_sequence",
    "benjamini_hochberg",
    "betting_sequence",
    "categories_test",
    "cliffs_delta",
    "cohens_dav",
    "cohens_dz",
    "compare",
    "compare_to_reference",
    "contrast",
    "cramers_v",
    "entropy",
    "equivalence_test",
    "factor_effects",
    "first_option_share",
    "fisher_test",
    "hedges_g",
    "holm",
    "krippendorff_alpha",
    "mcnemar_test",
    "mean",
    "median",
    "mixed_model",
    "morris_design",
    "morris_indices",
    "ordered_test",
    "paired_difference",
    "permutation_test",
    "power_paired",
    "power_proportions",
    "proportion",
    "proportion_difference",
    "ratings_of",
    "read_inspect",
    "read_table",
    "replicates_paired",
    "replicates_proportions",
    "sign_flip_test",
    "sobol_design",
    "sobol_indices",
    "straight_lining_share",
    "summarize",
    "summarize_values",
    "unpaired_difference",
    "variance_components",
    "variance_ratio",
    "wilson",
]
