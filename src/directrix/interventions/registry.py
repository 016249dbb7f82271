"""Interventions by name, the library's own and those of other packages.

    [project.entry-points."directrix.interventions"]
    mine = "my_package.my_module:MyIntervention"

An entry is a class whose objects are an `Intervention` (`directrix.interventions.protocol`).
"""

from directrix.registry import Registry

REGISTRY = Registry(
    "intervention",
    "directrix.interventions",
    {
        "steer": "directrix.interventions.steering:Steering",
        "project-and-set": "directrix.interventions.project_and_set:ProjectAndSet",
        "feedback": "directrix.interventions.feedback_control:FeedbackSteering",
        "erase": "directrix.interventions.concept_erasure:ConceptErasure",
        "nearest": "directrix.interventions.nearest_concept:NearestConcept",
    },
)
