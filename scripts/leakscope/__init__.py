"""leakscope: how associations learnt by a language model leak where they do not belong.

Plain typed functions on arrays, tables and models. Nothing here knows of Snakemake, reads the
configuration, or prints: entry points in ``scripts/`` do, one per rule.
"""
