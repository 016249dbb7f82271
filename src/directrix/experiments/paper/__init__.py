"""The paper's experiments end to end: discover what each needs, evaluate, and set our figures beside the published.

The protocol (protocol.yaml) and the published figures (published.yaml) are data. `prepare` refuses what cannot work
before anything long starts; `Reproduction.run` does the work, and goes on where a stopped run was.
"""

from directrix.experiments.paper.reproduction import REPRODUCTION, Reproduction, prepare, reproduce

__all__ = ["REPRODUCTION", "Reproduction", "prepare", "reproduce"]
