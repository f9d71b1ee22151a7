# prompts, generations → results/<study>/rating/: the match test as judges and people take it, and what they say of it.


rule sample_items:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        generations=expand("<results>/generations/{model}/{prompt_set}.parquet", **study.written),
        code=code("leak/sample_items"),
    output:
        sample="<results>/rating/items.parquet",
    log:
        "<logs>/sample_items.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.sampling(),
    script:
        "../../scripts/leak/sample_items.py"


# Only where it is asked for: by `make rate`.
rule rate:
    input:
        sample="<results>/rating/items.parquet",
        page=[own("report/rate.template.html"), own("report/page.css"), own("report/page.js")],
        code=code("leak/rate"),
    output:
        multiext("<results>/rating/", page="rate.html", sheet="items.csv"),
    log:
        "<logs>/rate.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        study=study.name,
    script:
        "../../scripts/leak/rate.py"


rule summarise_ratings:
    input:
        sample="<results>/rating/items.parquet",
        judged=expand("<results>/rating/judged/{judge}.parquet", judge=study.judges),
        ratings=leak.ratings,
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        code=code("leak/summarise_ratings"),
    output:
        ratings=shown("<results>/rating/ratings.csv"),
        agreement=shown("<results>/rating/agreement.csv"),
    log:
        "<logs>/summarise_ratings.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.summarising(),
    script:
        "../../scripts/leak/summarise_ratings.py"
