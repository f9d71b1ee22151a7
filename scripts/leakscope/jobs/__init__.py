"""Infrastructure of jobs: log, progress, devices, batches, memory and resources."""
