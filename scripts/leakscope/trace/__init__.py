"""The step ``trace``: one association followed from the corpus to the text."""
