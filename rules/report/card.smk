# Tables of a study → results/<study>/card/: what is known of one model, as a page, as Markdown, and as a file to compare.


rule card_of_model:
    input:
        rates=["<results>/match_rates.csv", "<results>/leak_rates.csv"],
        truth="<results>/truth.csv" if study.has_truth else [],
        calibration="<results>/calibration.csv" if study.has_truth else [],
        logit_leak="<results>/logit_leak.csv" if study.has_candidates else [],
        mitigations=trace.table("mitigations") if trace.mitigating.trials else [],
        prompts=expand("<results>/prompts/{prompt_set}.{kind}", prompt_set=study.prompt_sets, kind=["parquet", "csv"]),
        texts=expand(
            "<results>/matching/{prompt_set}/{scorer}.texts.parquet",
            prompt_set=study.prompt_sets,
            scorer=study.scorers[:1],
        ),
        units=expand("<results>/matching/{prompt_set}/{scorer}.parquet", **study.compared),
        encoders=expand("<models>/encoders/{scorer}.json", scorer=study.hub_scorers),
        records=page.records() if page.cards else [],
        template=[own(f"report/{name}") for name in ("document.template.html", "page.css", "document.css")],
        code=code("report/card_of_model"),
    output:
        multiext("<results>/card/{model}", card=".json", page=".html", text=".md"),
    log:
        "<logs>/card_of_model/{model}.log",
    wildcard_constraints:
        model=one_of_names(page.cards),
    conda:
        "../../envs/analysis.yaml"
    params:
        card=lambda w: page.card(w.model),
    script:
        "../../scripts/report/card_of_model.py"
