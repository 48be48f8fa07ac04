"""Scores of a model beside what can be reached without one.

A figure alone means little: pix2pix with an L1 of 40 is poor on maps and good on line art. So every score has an
interval, and stands beside trivial answers. Pairs are compared one by one (pairs.py), pictures without partners as
sets (sets.py).
"""

from i2i.evaluation.asking import EvaluationOptions as EvaluationOptions
from i2i.evaluation.asking import score_model as score_model
from i2i.evaluation.baselines import fit_baselines as fit_baselines
from i2i.evaluation.baselines import sides as sides
from i2i.evaluation.comparing import compare_scores as compare_scores
from i2i.evaluation.comparing import refuse_incomparable as refuse_incomparable
from i2i.evaluation.keeping import keep_evaluation as keep_evaluation
from i2i.evaluation.keeping import run_of as run_of
from i2i.evaluation.pairs import Evaluation as Evaluation
from i2i.evaluation.pairs import evaluate_pairs as evaluate_pairs
from i2i.evaluation.ruler import make_ruler as make_ruler
from i2i.evaluation.sets import SetEvaluation as SetEvaluation
from i2i.evaluation.sets import evaluate_samples as evaluate_samples
from i2i.evaluation.sets import evaluate_translations as evaluate_translations
