# tables → results/<study>/figures/: one function of leakscope.figures a figure, as PDF and PNG.
# A new figure is a function there, a line here and a caption in report/.

# figure: (where it stands in the report, the tables it shows)
FIGURES = {
    "specific_leakage": ("Specific leakage", ["specific_leakage"]),
    "leak_rates": ("Leak-Rates", ["leak_rates"]),
    "repetition": ("Leak-Rates", ["leak_rates"]),
    "by_concept": ("Leak-Rates", ["leak_rates_by_concept"]),
    "by_template": ("Leak-Rates", ["leak_rates_by_template"]),
    "comparisons": ("Leak-Rates", ["comparisons"]),
    "concept_matrix": ("Texts", ["concept_matrix"]),
}
SIZES = {
    model: CONFIG["models"][model]["parameters"]
    for model in MODELS
    if CONFIG["models"][model].get("parameters")
}
if SIZES or ORGANISMS:
    FIGURES["by_size"] = (
        "Leak-Rates",
        ["leak_rates", *(["organisms"] if ORGANISMS else [])],
    )
if HAS_CANDIDATES:
    FIGURES["logit_leak"] = ("Logit leak", ["logit_leak"])
if HAS_TRUTH:
    FIGURES["dose_response"] = ("Truth", ["leak_rates", "organisms", "truth"])
    FIGURES["truth"] = ("Truth", ["leak_rates", "truth"])


for figure, (section, tables) in FIGURES.items():

    rule:
        name:
            f"plot_{figure}"
        input:
            tables=[f"{RESULTS}/{table}.csv" for table in tables],
            code=code("plot"),
        output:
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category=section,
                labels={
                    "what": figure.replace("_", " ").capitalize(),
                    "form": "figure",
                },
            ),
        log:
            f"{LOGS}/plot_{figure}.log",
        benchmark:
            f"{BENCHMARKS}/plot_{figure}.tsv"
        conda:
            "../envs/plotting.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            figure=figure,
            labels={model: CONFIG["models"][model]["label"] for model in MODELS},
            sizes=SIZES if figure == "by_size" else {},
            matrix=CONFIG["leak"]["matrix"] if figure == "concept_matrix" else [],
        message:
            f"Draw {figure}"
        script:
            "../scripts/plot.py"
