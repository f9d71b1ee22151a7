"""From the configuration to what the rules name: files, wildcards, parameters and resources of each step.

Snakemake reads all of it again in every job of a cluster, so nothing here computes, and nothing heavy is imported.
Paths in angle brackets (``<results>``) are Snakemake's pathvars; ``rules/common.smk`` says what they stand for.
"""
