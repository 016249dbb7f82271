"""Directrix in ComfyUI: a node that reads a direction's file, and one that steers a model with it."""

from .nodes import LoadDirection, Steer

NODE_CLASS_MAPPINGS = {"DirectrixLoadDirection": LoadDirection, "DirectrixSteer": Steer}
NODE_DISPLAY_NAME_MAPPINGS = {
    "DirectrixLoadDirection": "Load Direction (Directrix)",
    "DirectrixSteer": "Steer with Direction (Directrix)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
