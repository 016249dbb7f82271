# The public names in the order of use, and where each lives: for type checkers, and for the imports of __init__.py.
# isort: skip_file
from directrix.models import load as load
from directrix.models.steerable import SteerableModel as SteerableModel
from directrix.concept import Concept as Concept
from directrix.concept import PromptPair as PromptPair
from directrix.concept import AttributeSet as AttributeSet
from directrix.directions.direction import Direction as Direction
from directrix.directions.part import Part as Part
from directrix.directions.published import import_published as import_published
from directrix.discovery import discover as discover
from directrix.discovery.attribute import discover_attribute as discover_attribute
from directrix.discovery.objects import discover_objects as discover_objects
from directrix.discovery.site_search import search_sites as search_sites
from directrix.discovery.settings import Sampling as Sampling
from directrix.discovery.settings import Optimizer as Optimizer
from directrix.discovery.settings import Orthogonalization as Orthogonalization
from directrix.measurement.calibration.calibrate import calibrate as calibrate
from directrix.measurement.calibration.leakage_correction import compensate_leakage as compensate_leakage
from directrix.interventions.probe import Probe as Probe
from directrix.measurement.calibration.fit_early_probe import fit_early_probe as fit_early_probe
from directrix.measurement.calibration.fit_probe import fit_probe as fit_probe
from directrix.interventions.steering import steer as steer
from directrix.interventions.attach import attach as attach
from directrix.generation.generate import generate as generate
from directrix.policies.fair import Fair as Fair
from directrix.generation.fair import fair as fair
from directrix.policies.safe import Safe as Safe
from directrix.policies.policy import Policy as Policy
from directrix.policies.wording.understand import understand as understand
from directrix.policies.running_quota import RunningQuota as RunningQuota
from directrix.measurement.evaluation import evaluate as evaluate
from directrix.measurement.reports.page import report as report
from directrix.experiments.paper import reproduce as reproduce
from directrix.errors import DirectrixError as DirectrixError

__version__: str
