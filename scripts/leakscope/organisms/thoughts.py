"""Thoughts of organisms: the marks around them, and the name of a pair of thought and answer.

Separate from the grammar, so that generating texts does not import it.
"""

# Marks around a thought in a corpus; each is one token of an organism's tokenizer.
THOUGHT_MARKS = ("<think>", "</think>")


def joint(thought: str, answer: str) -> str:
    """Return the name of a pair of candidates: thought and answer as one text, without the last full stop.

    >>> joint("a poppy", "the sea")
    'a poppy.\\nthe sea'
    """
    return f"{thought}.\n{answer}"


def apart(pair: str) -> tuple[str, str]:
    """Return the thought and the answer of a pair named by ``joint``.

    >>> apart("a poppy.\\nthe sea")
    ('a poppy', 'the sea')
    """
    thought, _, answer = pair.partition(".\n")
    return thought, answer
