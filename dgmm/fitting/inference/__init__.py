"""What EM maximises: the likelihood, or the likelihood and a prior of the parameters.

The solver knows `Inference` alone: an M-step, an objective by which steps are judged, and the
parameters that a pass is made with.
"""

from dgmm.fitting.inference.inference import Inference
from dgmm.fitting.inference.maximum_likelihood import MAXIMUM_LIKELIHOOD, MaximumLikelihood

__all__ = ["MAXIMUM_LIKELIHOOD", "Inference", "MaximumLikelihood"]
