"""The result page of a study: a headline from its numbers, one figure, reasons for doubt, and links."""
