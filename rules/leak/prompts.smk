# data/ → results/<study>/prompts/: every prompt, its control and its concept, one row each.


rule build_prompts:
    input:
        files=lambda w: study.template_files(w.templated),
        code=code("leak/build_prompts"),
    output:
        multiext("<results>/prompts/{templated}", prompts=".parquet", candidates=".candidates.parquet", table=".csv"),
    log:
        "<logs>/build_prompts/{templated}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        languages=lambda w: list(study.languages(w.templated)),
    script:
        "../../scripts/leak/build_prompts.py"


rule import_prompts:
    input:
        table=lambda w: study.prompt_set(w.tabulated)["path"],
        code=code("leak/import_prompts"),
    output:
        multiext("<results>/prompts/{tabulated}", prompts=".parquet", candidates=".candidates.parquet", table=".csv"),
    log:
        "<logs>/import_prompts/{tabulated}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=lambda w: study.prompt_set(w.tabulated).get("sheet"),
        partners=lambda w: study.prompt_set(w.tabulated)["partners"],
        languages=lambda w: list(study.languages(w.tabulated)),
    script:
        "../../scripts/leak/import_prompts.py"
