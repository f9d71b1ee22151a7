# counts, scores, prevalence → results/<study>/ground/: does a model rank pairs as its corpus counts them, or as the
# world is?


rule compare_windows:
    input:
        counts=expand("<ground>/counts/{axis}.parquet", axis=ground.axes),
        code=code("ground/compare_windows"),
    output:
        counts="<ground>/counts_by_window.csv",
        agreement=shown("<ground>/window_agreement.csv"),
    log:
        "<logs>/compare_windows.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=ground.comparing(),
    script:
        "../../scripts/ground/compare_windows.py"


rule compare_prevalence:
    input:
        counts=expand("<ground>/counts/{axis}.parquet", axis=ground.prevalent),
        prevalence=expand("<ground>/prevalence/{axis}.parquet", axis=ground.prevalent),
        code=code("ground/compare_prevalence"),
    output:
        gaps=shown("<ground>/prevalence_gaps.csv"),
    log:
        "<logs>/compare_prevalence.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=ground.comparing("window", "unit", "top"),
    script:
        "../../scripts/ground/compare_prevalence.py"


rule rank_groups:
    input:
        scores=expand("<ground>/scores/{model}/{axis}.parquet", axis=ground.axes, model=ground.models),
        code=code("ground/rank_groups"),
    output:
        places=shown("<ground>/first_and_last.csv"),
        variation=shown("<ground>/template_variation.csv"),
        spread="<ground>/rank_spread.csv",
        differences="<ground>/logprob_differences.csv",
    log:
        "<logs>/rank_groups.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=ground.comparing("score"),
    script:
        "../../scripts/ground/rank_groups.py"


rule kendall_tau:
    input:
        counts=expand("<ground>/counts/{axis}.parquet", axis=ground.axes),
        scores=expand("<ground>/scores/{model}/{axis}.parquet", axis=ground.axes, model=ground.models),
        prevalence=expand("<ground>/prevalence/{axis}.parquet", axis=ground.prevalent),
        code=code("ground/kendall_tau"),
    output:
        tau=shown("<ground>/kendall_tau.csv"),
        by_score="<ground>/kendall_tau_by_score.csv",
        by_subject="<ground>/kendall_tau_by_subject.csv",
        by_quartile="<ground>/kendall_tau_by_quartile.csv",
        outliers=shown("<ground>/outliers.csv"),
        unmatched="<ground>/unmatched.csv",
    log:
        "<logs>/kendall_tau.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=ground.comparing("window", "unit", "score"),
    script:
        "../../scripts/ground/kendall_tau.py"


rule compare_aligned:
    input:
        scores=expand("<ground>/scores/{model}/{axis}.parquet", axis=ground.axes, model=ground.models),
        code=code("ground/compare_aligned"),
    output:
        pairs=shown("<ground>/aligned_pairs.csv"),
        changes="<ground>/first_place_changes.csv",
    log:
        "<logs>/compare_aligned.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        settings=ground.comparing("score"),
        pairs=ground.settings["aligned_pairs"],
    script:
        "../../scripts/ground/compare_aligned.py"


rule plot_ground:
    input:
        tables=[ground.table(name) for name in ground.tables] + study.style_files,
        code=code("figures/plot"),
    output:
        pdf=[f"<ground>/figures/{figure}.pdf" for figure in ground.figures],
        png=[shown(f"<ground>/figures/{figure}.png") for figure in ground.figures],
    log:
        "<logs>/plot_ground.log",
    conda:
        "../../envs/plotting.yaml"
    threads: 4
    params:
        **ground.plotting(),
    script:
        "../../scripts/figures/plot.py"
