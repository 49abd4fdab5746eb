"""k-means and every covariance family on the same rows: what a user asks before choosing.

All are fitted to a part of the sample that the summary has drawn, with dgmm's own start and EM, and
one read of all rows scores and labels every row by each (`comparing.compare`).
"""
