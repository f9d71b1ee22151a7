# every pair → results/<study>/explorer.html: one page to read the texts in.


rule write_explorer:
    input:
        prompts=[prompts(name) for name in PROMPT_SETS],
        pairs=pair_tables(),
        page="report/explorer.template.html",
        code=code("write_explorer"),
    output:
        page=shown(
            f"{RESULTS}/explorer.html",
            "Texts",
            "Explorer of all texts",
            caption="explorer",
        ),
    log:
        f"{LOGS}/write_explorer.log",
    benchmark:
        f"{BENCHMARKS}/write_explorer.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        study=STUDY["name"],
        scorers=SCORERS,
    message:
        "Write the explorer page"
    script:
        "../scripts/write_explorer.py"
