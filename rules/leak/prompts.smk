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
        place=lambda w: study.prompt_set(w.templated)["place"],
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
        place=lambda w: study.prompt_set(w.tabulated)["place"],
        languages=lambda w: list(study.languages(w.tabulated)),
    script:
        "../../scripts/leak/import_prompts.py"


rule insert_clauses:
    input:
        table=lambda w: study.prompt_set(w.inserted)["path"],
        clauses=lambda w: study.prompt_set(w.inserted)["clauses"],
        code=code("leak/insert_clauses"),
    output:
        multiext("<results>/prompts/{inserted}", prompts=".parquet", candidates=".candidates.parquet", table=".csv"),
    log:
        "<logs>/insert_clauses/{inserted}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=lambda w: study.prompt_set(w.inserted)["sheet"],
        languages=lambda w: list(study.languages(w.inserted)),
    script:
        "../../scripts/leak/insert_clauses.py"
