# tables → results/<study>/figures/: one function of leakscope.figures a figure, as PDF and PNG.
# A new figure is a function there, a line here and a caption in report/.

# figure: (its section of the report, its title there, the tables it shows)
FIGURES = {
    "specific_leakage": ("Specific leakage", "Specific leakage", ["specific_leakage"]),
    "leak_rates": ("Leak-Rates", "Leak-Rates", ["leak_rates"]),
    "repetition": ("Leak-Rates", "With and without repetition", ["leak_rates"]),
    "by_concept": ("Leak-Rates", "By concept", ["leak_rates_by_concept"]),
    "by_template": ("Leak-Rates", "By template", ["leak_rates_by_template"]),
    "comparisons": ("Leak-Rates", "Models compared in pairs", ["comparisons"]),
    "concept_matrix": ("Texts", "Concepts asked and written", ["concept_matrix"]),
}
SIZES = {
    model: CONFIG["models"][model]["parameters"]
    for model in MODELS
    if CONFIG["models"][model].get("parameters")
}
if SIZES or ORGANISMS:
    FIGURES["by_size"] = (
        "Leak-Rates",
        "By size",
        ["leak_rates", *(["organisms"] if ORGANISMS else [])],
    )
if HAS_CANDIDATES:
    FIGURES["logit_leak"] = ("Logit leak", "Logit leak", ["logit_leak"])
if HAS_TRUTH:
    FIGURES["dose_response"] = ("Truth", "Dose and response", ["leak_rates", "organisms", "truth"])
    FIGURES["truth"] = ("Truth", "Exact Leak-Rates", ["leak_rates", "truth"])


for figure, (section, title, tables) in FIGURES.items():

    rule:
        name:
            f"plot_{figure}"
        input:
            tables=[f"{RESULTS}/{table}.csv" for table in tables],
            code=code("plot"),
        output:
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            png=shown(
                f"{RESULTS}/figures/{figure}.png",
                section,
                title,
                caption=figure,
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
