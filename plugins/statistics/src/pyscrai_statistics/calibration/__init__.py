"""Measured error rates: how often tests reject, and intervals cover, in synthetic experiments.

`python -m pyscrai_statistics.calibration` prints the tables of the README (`nox -s calibration`). Each
experiment draws data for which the truth is known, and calls the public function as a user does. A test of no
difference must reject in 5 % of the experiments without one (A/A); a 95 % interval must hold the truth in 95
%.

Exact tests of discrete data reject less often than their level, because few p-values are possible. For them
the column `randomized` shows that the test itself is right: there, outcomes as extreme as the observed one
count with a random share, which makes every exact test reject at its level.
"""
