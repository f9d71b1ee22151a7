# prompts, texts, match rates → results/<study>/exports/: in the forms of the hub, of inspect_ai and of lm-eval.


rule export_rates:
    input:
        rates="<results>/match_rates.csv",
        prompts=expand("<results>/prompts/{prompt_set}.csv", prompt_set=study.prompt_sets),
        code=code("leak/export_rates"),
    output:
        index="<results>/exports/{model}/model-index.yaml",
        results="<results>/exports/{model}/.eval_results/leakscope.yaml",
    log:
        "<logs>/export_rates/{model}.log",
    conda:
        "../../envs/models.yaml"
    params:
        prompt_sets=study.prompt_sets,
        name=lambda w: study.labels([w.model])[w.model],
        level=study.config["leak"]["level"],
    script:
        "../../scripts/leak/export_rates.py"


rule export_texts:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        table="<results>/prompts/{prompt_set}.csv",
        generations="<results>/generations/{model}/{prompt_set}.parquet",
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        matches=expand("<results>/matching/{{prompt_set}}/{scorer}.texts.parquet", scorer=study.scorers),
        manifest=lambda w: leak.exported_manifest(w.model),
        code=code("leak/export_texts"),
    output:
        log="<results>/exports/{model}/{prompt_set}.eval",
    log:
        "<logs>/export_texts/{model}/{prompt_set}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=study.name,
        scorers=list(study.scorers),
        settings=lambda w: leak.exported_settings(w.model, w.prompt_set),
    script:
        "../../scripts/leak/export_texts.py"


rule export_task:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        table="<results>/prompts/{prompt_set}.csv",
        code=code("leak/export_task"),
    output:
        task="<results>/exports/lm-eval/{prompt_set}/leakscope_{prompt_set}.yaml",
        others=multiext("<results>/exports/lm-eval/{prompt_set}/", "prompts.jsonl", "utils.py", "README.md"),
    log:
        "<logs>/export_task/{prompt_set}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        sampled=lambda w: leak.exported_sampling(w.prompt_set),
    script:
        "../../scripts/leak/export_task.py"
