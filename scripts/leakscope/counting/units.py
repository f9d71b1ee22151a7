"""What a count is of: documents in which subject and group stand near each other, or all places where they do."""

DOCUMENTS, MENTIONS = "documents", "mentions"
# What a table counts that somebody brings, only they know.
AS_IMPORTED = "imported"
