# prompts, and results that are there → results/<study>/plan.csv: what the study can see.


# Only where it is asked for. Results are a pilot where they are there, and never made: so they are no inputs, but looked
# for when the job is about to run (Snakemake does not watch a parameter that takes the output).
rule plan:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        code=code("leak/plan"),
    output:
        plan="<results>/plan.csv",
    log:
        "<logs>/plan.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.planning(),
        units=leak.there("matching/{prompt_set}/{scorer}.parquet", **study.compared),
        texts=leak.there("matching/{prompt_set}/{scorer}.texts.parquet", **study.compared),
        pairs=leak.there("leakage/{prompt_set}/{scorer}.parquet", **study.compared),
    script:
        "../../scripts/leak/plan.py"
