"""From the configuration to the files, wildcards, parameters and resources that the rules use.

Every cluster job imports this package, so it does no computation and has no slow imports. Paths in angle brackets
(``<results>``) are Snakemake's pathvars; ``rules/common.smk`` says what they stand for.
"""
