"""What organisms think: how a pair of candidates, a thought and an answer, is called.

Apart from their grammar, which who only writes texts need not know.
"""

# What a thought stands between in a corpus; one token each of an organism's tokenizer.
THOUGHT_MARKS = ("<think>", "</think>")


def joint(thought: str, answer: str) -> str:
    """Return what a pair of candidates is called: both as one text is measured, less its last full stop.

    >>> joint("a poppy", "the sea")
    'a poppy.\\nthe sea'
    """
    return f"{thought}.\n{answer}"


def apart(pair: str) -> tuple[str, str]:
    """Return the thought and the answer of a pair, as ``joint`` calls it.

    >>> apart("a poppy.\\nthe sea")
    ('a poppy', 'the sea')
    """
    thought, _, answer = pair.partition(".\n")
    return thought, answer
