"""Prompts, seeds and interventions to images and their manifest."""
