# Leading tables and figures of all steps → results/<study>/index.html: the page that a person opens first.


rule result_page:
    input:
        rates=page.of("leak", "<results>/match_rates.csv", "<results>/leak_rates.csv"),
        truth=page.of("leak", "<results>/truth.csv") if study.has_truth else [],
        prompts=page.of("leak", *expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets)),
        texts=page.of(
            "leak",
            *expand(
                "<results>/matching/{prompt_set}/{scorer}.texts.parquet",
                prompt_set=study.prompt_sets,
                scorer=list(study.scorers)[:1],
            ),
        ),
        generations=page.leading_files("<results>/generations/{model}/{prompt_set}.parquet"),
        similarity=page.leading_files("<results>/similarity/{scorer}.parquet"),
        tables=page.tables,
        figures=page.figure_files,
        failures=page.failures(RESULTS),
        template=[own(f"report/{name}") for name in ("index.template.html", "page.css", "document.css")],
        code=code("report/result_page"),
    output:
        page="<results>/index.html",
    log:
        "<logs>/result_page.log",
    conda:
        "../../envs/report.yaml"
    params:
        **page.params(),
    script:
        "../../scripts/report/result_page.py"
