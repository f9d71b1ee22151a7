"""Units of co-occurrence counts: documents in which subject and group co-occur, or pairs of their mentions."""

DOCUMENTS, MENTIONS = "documents", "mentions"
# The unit of an imported table is not known.
AS_IMPORTED = "imported"
