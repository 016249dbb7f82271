"""Readers of prompts: the grammar, and others such as a local language model.

A package offers one as an entry point of the group "directrix.readers": a callable that takes a prompt and returns an
`Understanding` of it.
"""

from __future__ import annotations

from directrix.errors import ReaderError
from directrix.policies.wording.types import Understanding
from directrix.registry import Registry

READERS = Registry("reader", "directrix.readers", {"grammar": "directrix.policies.wording.grammar:read"}, ReaderError)


def read(name: str, prompt: str) -> Understanding:
    """What the reader of that name understands of a prompt.

    Raises:
        ReaderError: it is not installed, cannot be loaded, or its answer does not fit the prompt.
    """
    answer = READERS.get(name)(prompt)
    if not isinstance(answer, Understanding):
        raise ReaderError(
            f"The reader '{name}' answers with a {type(answer).__name__}.",
            "an Understanding of the prompt.",
            "mend the reader, or read without it.",
        )
    wrong = [each for each in answer.switches if prompt[each.start : each.end] != each.phrase or not each.phrase]
    kinds = [each for each in answer.switches if each.kind not in ("balance", "absent")]
    if answer.prompt != prompt or wrong or kinds:
        fault = f"the phrase {(wrong or kinds)[0].phrase!r}" if wrong or kinds else f"the prompt {answer.prompt!r}"
        raise ReaderError(
            f"The reader '{name}' answers about {fault}, which is not what was asked.",
            'switches of kind "balance" or "absent" whose phrase is prompt[start:end].',
            "mend the reader, or read without it.",
        )
    return answer
