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
        known="<results>/rating/truth.csv" if study.has_truth else [],
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
