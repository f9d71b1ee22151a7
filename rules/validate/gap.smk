# scores, ranks, completions, layers → results/<study>/validate/: does a model affirm what it generates?


rule correlations:
    input:
        scores=validate.of_pairs("<validate>/scores/{model}/{task}.parquet", validate.scored),
        item_tables=validate.item_tables(validate.scored),
        splits=validate.split_files(),
        forms=[validate.settings["tasks"][task]["forms"] for task in validate.tasks],
        code=code("validate/correlations"),
    output:
        correlations=shown("<validate>/correlations.csv"),
        paired="<validate>/paired.parquet",
    log:
        "<logs>/correlations.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **validate.analysis(validate.scored),
        tuned_on=validate.tuned_on(),
    script:
        "../../scripts/validate/correlations.py"


rule answer_accuracy:
    input:
        scores=validate.of_pairs("<validate>/scores/{model}/{task}.parquet", validate.scored),
        item_tables=validate.item_tables(validate.scored),
        splits=validate.split_files(),
        forms=[validate.settings["tasks"][task]["forms"] for task in validate.tasks],
        ranks=validate.of_pairs("<validate>/ranks/{model}/{task}.parquet", validate.asked),
        completions=validate.of_pairs("<validate>/completions/{model}/{task}.parquet", validate.asked),
        code=code("validate/answer_accuracy"),
    output:
        accuracy=shown("<validate>/accuracy.csv"),
    log:
        "<logs>/answer_accuracy.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **validate.analysis(validate.scored),
        asked=validate.asked,
        tuned_on=validate.tuned_on(),
    script:
        "../../scripts/validate/answer_accuracy.py"


rule form_agreement:
    input:
        scores=validate.of_pairs("<validate>/scores/{model}/{task}.parquet", validate.scored),
        code=code("validate/form_agreement"),
    output:
        agreement="<validate>/form_agreement.csv",
    log:
        "<logs>/form_agreement.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        scored=validate.scored,
    script:
        "../../scripts/validate/form_agreement.py"


rule layer_summary:
    input:
        layers=validate.of_pairs("<validate>/layers/{model}/{task}.parquet", validate.layered),
        item_tables=validate.item_tables(validate.layered),
        code=code("validate/layer_summary"),
    output:
        layers="<validate>/layers.csv",
        parting="<validate>/parting.csv",
    log:
        "<logs>/layer_summary.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        layered=validate.layered,
    script:
        "../../scripts/validate/layer_summary.py"


rule planted_gap:
    input:
        correlations="<validate>/correlations.csv",
        item_tables=expand("<validate>/items/{task}.parquet", task=validate.tasks),
        grammar=study.grammar_files(validate.planted_parts),
        code=code("validate/planted_gap"),
    output:
        truth=shown("<validate>/truth.csv"),
    log:
        "<logs>/planted_gap.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        grammars=validate.grammars(),
    script:
        "../../scripts/validate/planted_gap.py"


rule plot_validate:
    input:
        tables=[validate.table(name) for name in validate.tables] + study.style_files,
        code=code("figures/plot"),
    output:
        pdf=[f"<validate>/figures/{figure}.pdf" for figure in validate.figures],
        png=[shown(f"<validate>/figures/{figure}.png") for figure in validate.figures],
    log:
        "<logs>/plot_validate.log",
    conda:
        "../../envs/plotting.yaml"
    threads: 4
    params:
        **validate.plotting(),
    script:
        "../../scripts/figures/plot.py"
