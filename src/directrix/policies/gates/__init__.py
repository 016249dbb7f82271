"""Which prompts a policy acts on, and which it leaves as they are."""
