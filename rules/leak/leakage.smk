# similarity → results/<study>/matching/ and leakage/ → match rates, Leak-Rates and comparisons of models.


rule match_units:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        generations=expand("<results>/generations/{model}/{{prompt_set}}.parquet", model=study.models),
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        code=code("leak/match_units"),
    output:
        units=expand("<results>/matching/{{prompt_set}}/{scorer}.parquet", scorer=study.scorers),
        texts=expand("<results>/matching/{{prompt_set}}/{scorer}.texts.parquet", scorer=study.scorers),
    log:
        "<logs>/match_units/{prompt_set}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.comparing(),
    script:
        "../../scripts/leak/match_units.py"


rule match_rates:
    input:
        units=expand("<results>/matching/{prompt_set}/{scorer}.parquet", **study.compared),
        code=code("leak/match_rates"),
    output:
        match_rates=shown("<results>/match_rates.csv"),
        by_concept="<results>/match_rates_by_concept.csv",
        by_template="<results>/match_rates_by_template.csv",
    log:
        "<logs>/match_rates.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.testing(),
        reads=study.reads,
    script:
        "../../scripts/leak/match_rates.py"


rule compare_pairs:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        generations=expand("<results>/generations/{model}/{{prompt_set}}.parquet", model=study.models),
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        code=code("leak/compare_pairs"),
    output:
        pairs=expand("<results>/leakage/{{prompt_set}}/{scorer}.parquet", scorer=study.scorers),
    log:
        "<logs>/compare_pairs/{prompt_set}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.comparing(),
    script:
        "../../scripts/leak/compare_pairs.py"


rule leak_rates:
    input:
        pairs=expand("<results>/leakage/{prompt_set}/{scorer}.parquet", **study.compared),
        code=code("leak/leak_rates"),
    output:
        leak_rates=shown("<results>/leak_rates.csv"),
        specific=shown("<results>/specific_leakage.csv"),
        by_control="<results>/leak_rates_by_control.csv",
        by_concept="<results>/leak_rates_by_concept.csv",
        by_template="<results>/leak_rates_by_template.csv",
        estimators="<results>/estimators.csv",
    log:
        "<logs>/leak_rates.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        level=study.config["leak"]["level"],
    script:
        "../../scripts/leak/leak_rates.py"


rule compare_models:
    input:
        units=expand("<results>/matching/{prompt_set}/{scorer}.parquet", **study.compared),
        pairs=expand("<results>/leakage/{prompt_set}/{scorer}.parquet", **study.compared),
        code=code("leak/compare_models"),
    output:
        comparisons=shown("<results>/comparisons.csv"),
    log:
        "<logs>/compare_models.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.testing(),
    script:
        "../../scripts/leak/compare_models.py"


rule compare_scorers:
    input:
        pairs=expand("<results>/leakage/{prompt_set}/{scorer}.parquet", **study.compared),
        rates="<results>/match_rates.csv",
        code=code("leak/compare_scorers"),
    output:
        agreement=shown("<results>/agreement.csv"),
    log:
        "<logs>/compare_scorers.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        rate="match_rate",
    script:
        "../../scripts/leak/compare_scorers.py"


rule concept_matrix:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.prompt_sets),
        generations=expand("<results>/generations/{model}/{prompt_set}.parquet", **study.written),
        code=code("leak/concept_matrix"),
    output:
        matrix="<results>/concept_matrix.csv",
    log:
        "<logs>/concept_matrix.log",
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/leak/concept_matrix.py"


rule logit_leak:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.templated),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.templated),
        scores=expand("<results>/candidates/{model}/{prompt_set}.parquet", **study.scored),
        code=code("leak/logit_leak"),
    output:
        table=shown("<results>/logit_leak.csv"),
    log:
        "<logs>/logit_leak.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        level=study.config["leak"]["level"],
    script:
        "../../scripts/leak/logit_leak.py"


# grammar, candidate scores, drawn texts → truth.csv: the rates of what an organism was taught, and of what it learnt.
rule expect_rates:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.taught),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.taught),
        scores=expand(
            "<results>/candidates/{model}/{prompt_set}.parquet",
            model=study.leaking,
            prompt_set=study.taught,
        ),
        drawn=expand("<results>/drawn/{model}/{prompt_set}.parquet", **study.sampled),
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        pairs=expand(
            "<results>/leakage/{prompt_set}/{scorer}.parquet",
            prompt_set=study.taught,
            scorer=study.scorers,
        ),
        grammar=study.grammar_files(part for parts in leak.planted_parts.values() for part in parts),
        code=code("leak/expect_rates"),
    output:
        truth=shown("<results>/truth.csv"),
        by_split="<results>/truth_by_split.csv",
        of_raters="<results>/rating/truth.csv",
    log:
        "<logs>/expect_rates.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.truth_settings(),
    script:
        "../../scripts/leak/expect_rates.py"


rule calibration:
    input:
        rates=["<results>/match_rates.csv", "<results>/leak_rates.csv"],
        truth="<results>/truth.csv",
        code=code("leak/calibration"),
    output:
        table="<results>/calibration.csv",
    log:
        "<logs>/calibration.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **leak.judging(),
    script:
        "../../scripts/leak/calibration.py"
