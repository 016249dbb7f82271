"""Text-enhancing generation: reading the responsible wording of a prompt.

A prompt such as "a doctor of any gender, without a cigarette" asks for something that a text-to-image model does not
know how to do, or does the opposite of: naming the cigarette draws one. Such phrases are found by a grammar of rules
and become switches: "balance" makes an attribute even over the images, "absent" turns an anti-concept on. The model
is then given the rest of the prompt.

A package offers a reader in place of the grammar, such as a local language model, as an entry point of the group
"directrix.readers": a callable that takes a prompt and returns an `Understanding` of it.
"""

from __future__ import annotations

from directrix.errors import ConceptError, ReaderError
from directrix.policies.wording import grammar
from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.types import Understanding
from directrix.registry import Registry

READERS = Registry("reader", "directrix.readers", {"grammar": "directrix.policies.wording.grammar:read"}, ReaderError)
_MEND = "mend the reader, or read without it."


def understand(prompt: str, phrases: Phrases | None = None, reader: str | None = None) -> Understanding:
    """Finds the responsible wording of a prompt.

    Args:
        prompt: any text.
        phrases: what to look for; None for the shipped phrases.
        reader: name of an installed reader that reads in place of the grammar; None for the grammar.

    Raises:
        ReaderError: no such reader is installed, it cannot be loaded, or its answer does not fit the prompt.
        ConceptError: the prompt is no text.
    """
    if not isinstance(prompt, str):
        raise ConceptError(f"The prompt is a {type(prompt).__name__}.", "text.", 'a string such as "a chef".')
    if reader is None or reader == "grammar":
        return grammar.read(prompt, phrases)
    answer = READERS.get(reader)(prompt)
    if not isinstance(answer, Understanding):
        raise ReaderError(
            f"The reader '{reader}' answers with a {type(answer).__name__}.", "an Understanding of the prompt.", _MEND
        )
    wrong = (
        f"the phrase {each.phrase!r}"
        for each in answer.switches
        if each.kind not in ("balance", "absent") or not each.phrase or prompt[each.start : each.end] != each.phrase
    )
    fault = next(wrong, "" if answer.prompt == prompt else f"the prompt {answer.prompt!r}")
    if fault:
        raise ReaderError(
            f"The reader '{reader}' answers about {fault}, which is not what was asked.",
            'switches of kind "balance" or "absent" whose phrase is prompt[start:end].',
            _MEND,
        )
    return answer
