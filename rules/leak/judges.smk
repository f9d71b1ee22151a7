# sampled items of the match test, judges → results/<study>/rating/: what each judge answers, and whether it is fit.


# One job a judge: a model here is loaded once, and a server gets its requests a minute, and what it may cost.
rule judge_items:
    input:
        sampled="<results>/rating/items.parquet",
        prompts=lambda w: study.config["scorers"][w.judge]["prompts"],
        manifest=lambda w: leak.judge_manifest(w.judge),
        code=code("leak/judge_items"),
    output:
        judged="<results>/rating/judged/{judge}.parquet",
        summary="<results>/rating/judged/{judge}.json",
    log:
        "<logs>/judge_items/{judge}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: leak.judge_threads(w.judge)
    resources:
        **on_model(leak.judge_needs, lambda w: w.judge),
    params:
        judge=lambda w: leak.judge(w.judge),
        patience=lambda w, output: leak.judge_patience(w.judge, Path(output.judged).parents[2]),
        store=store,
    script:
        "../../scripts/leak/judge_items.py"


rule judge_verdicts:
    input:
        sampled="<results>/rating/items.parquet",
        judged=expand("<results>/rating/judged/{judge}.parquet", judge=study.judges),
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.templated),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.templated),
        scores=expand(
            "<results>/candidates/{model}/{prompt_set}.parquet",
            model=study.leaking,
            prompt_set=study.templated,
        ),
        grammar=study.grammar_files(part for model in study.leaking for part in study.leaking_parts(model)),
        code=code("leak/judge_verdicts"),
    output:
        verdicts=shown("<results>/rating/judges.csv"),
    log:
        "<logs>/judge_verdicts.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.verdicts(),
    script:
        "../../scripts/leak/judge_verdicts.py"
