"""Mitigations without training: changed models that leak less, opened by all steps like any other model."""
