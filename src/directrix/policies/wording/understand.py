"""Text-enhancing generation: reading the responsible wording of a prompt.

A prompt such as "a doctor of any gender, without a cigarette" asks for something that a text-to-image model does not
know how to do, or does the opposite of: naming the cigarette draws one. Such phrases are found by a grammar of rules
and become switches: "balance" makes an attribute even over the images, "absent" turns an anti-concept on. The model
is then given the rest of the prompt.
"""

from __future__ import annotations

from directrix.errors import ConceptError
from directrix.policies.wording import grammar, plugins
from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.types import Understanding


def understand(prompt: str, phrases: Phrases | None = None, reader: str | None = None) -> Understanding:
    """Finds the responsible wording of a prompt.

    Args:
        prompt: any text.
        phrases: what to look for; None for the shipped phrases.
        reader: name of an installed reader (entry point group "directrix.readers") that reads in place of the grammar,
            such as a local language model; None for the grammar.

    Raises:
        ReaderError: no such reader is installed, or its answer does not fit the prompt.
        ConceptError: the prompt is no text.
    """
    if not isinstance(prompt, str):
        raise ConceptError(f"The prompt is a {type(prompt).__name__}.", "text.", 'a string such as "a chef".')
    if reader is None or reader == "grammar":
        return grammar.read(prompt, phrases)
    return plugins.read(reader, prompt)
