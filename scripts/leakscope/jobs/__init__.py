"""What a job needs beside its work: a log, progress, devices, batches, memory."""
