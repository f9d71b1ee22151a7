# validate/*.csv → results/<study>/validate/figures/: one function of leakscope.figures.validate.drawing a figure, PDF and PNG.

# figure: (its section of the report, its title there, the tables it shows)
VALIDATE_FIGURES = {
    "correlations": ("Generator and validator", "Correlations", ["correlations.csv"]),
    "log_odds_density": ("Generator and validator", "Log-odds of items", ["paired.parquet"]),
}
if ASKED:
    VALIDATE_FIGURES["form_agreement"] = ("Prompt forms", "Agreement of forms", ["form_agreement.csv"])
if LAYERED:
    VALIDATE_FIGURES["log_odds_by_layer"] = ("Layers", "Log-odds by layer", ["layers.csv", "parting.csv"])
if PLANTED:
    VALIDATE_FIGURES["truth"] = ("Truth", "Exact gaps", ["truth.csv"])
if TUNED:
    VALIDATE_FIGURES["closing"] = ("Closing the gap", "Before and after training", ["closing.csv"])


for figure, (section, title, tables) in VALIDATE_FIGURES.items():

    rule:
        name:
            f"plot_validate_{figure}"
        input:
            tables=[f"{V}/{table}" for table in tables],
            code=code("plot_validate"),
        output:
            pdf=f"{V}/figures/{figure}.pdf",
            png=shown(
                f"{V}/figures/{figure}.png",
                section,
                title,
                caption=f"validate/{figure}",
            ),
        log:
            f"{LOGS}/plot_validate_{figure}.log",
        benchmark:
            f"{BENCHMARKS}/plot_validate_{figure}.tsv"
        conda:
            "../envs/plotting.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            figure=figure,
            labels=figure_labels(figure),
            bases=BASES,
        message:
            f"Draw {figure}"
        script:
            "../scripts/plot_validate.py"


rule:
    name:
        "plot_validate_lens_heatmap"
    input:
        tables=[f"{V}/lens/{{model}}/{{task}}.parquet"],
        code=code("plot_validate"),
    output:
        pdf=f"{V}/figures/lens_heatmap/{{model}}/{{task}}.pdf",
        png=shown(
            f"{V}/figures/lens_heatmap/{{model}}/{{task}}.png",
            "Layers",
            "Logit lens of {model}, {task}",
            caption="validate/lens_heatmap",
        ),
    log:
        f"{LOGS}/plot_validate_lens_heatmap/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/plot_validate_lens_heatmap/{{model}}/{{task}}.tsv"
    conda:
        "../envs/plotting.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        figure="lens_heatmap",
        labels=lambda w: {w.model: CONFIG["models"][w.model]["label"]},
        bases={},
    message:
        "Draw what each layer of {wildcards.model} would say on an item of {wildcards.task}"
    script:
        "../scripts/plot_validate.py"
