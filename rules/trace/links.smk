# prompts → results/<study>/trace/: what is counted of them, what models know of their associations, and the links of each
# association. Counts are the step ground's own (rules/ground/counts.smk), by any of its backends.


rule name_terms:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        code=code("trace/name_terms"),
    output:
        concepts="<trace>/terms/{templated}.concepts.csv",
        associates="<trace>/terms/{templated}.associates.csv",
    log:
        "<logs>/name_terms/{templated}.log",
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/trace/name_terms.py"
