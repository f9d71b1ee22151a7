# ground/*.csv → results/<study>/ground/figures/: one function of leakscope.figures.ground.drawing a figure, as PDF and PNG.

# figure: (its section of the report, its title there, the tables it shows)
GROUND_FIGURES = {
    "kendall_tau": ("Agreement of rankings", "Kendall tau", ["kendall_tau"]),
    "first_places": ("Rankings by models", "First and last places", ["first_and_last"]),
    "logprob_differences": ("Rankings by models", "Differences in log-probability", ["logprob_differences"]),
    "template_spread": ("Rankings by models", "Spread over templates", ["rank_spread"]),
}
if any(source != "table" or len(count_tables(axis)) > 1 for axis, source in COUNTED_FROM.items()):
    GROUND_FIGURES["window_agreement"] = ("Counts", "Agreement of windows", ["window_agreement"])
if PREVALENT:
    GROUND_FIGURES["prevalence_gaps"] = ("Counts", "Counts beside prevalence", ["prevalence_gaps"])
if len(GROUND["languages"]) > 1:
    GROUND_FIGURES["tau_by_language"] = ("Agreement of rankings", "Kendall tau by language", ["kendall_tau"])
if GROUND["aligned_pairs"]:
    GROUND_FIGURES["aligned_pairs"] = (
        "Rankings by models",
        "Base and aligned models",
        ["aligned_pairs", "first_and_last"],
    )
# Figures that name no model: another label does not draw them again.
UNLABELLED = ["window_agreement", "prevalence_gaps", "tau_by_size"]
RANKED_SIZES = {
    model: CONFIG["models"][model]["parameters"]
    for model in RANKED
    if CONFIG["models"][model].get("parameters")
}
RANKED_ORGANISMS = [model for model in RANKED if model in ORGANISMS]
if len(RANKED_SIZES) + len(RANKED_ORGANISMS) > 1:
    GROUND_FIGURES["tau_by_size"] = (
        "Agreement of rankings",
        "Kendall tau by size",
        ["kendall_tau_by_quartile", *(["organisms"] if RANKED_ORGANISMS else [])],
    )


for figure, (section, title, tables) in GROUND_FIGURES.items():

    rule:
        name:
            f"plot_ground_{figure}"
        input:
            tables=[
                f"{RESULTS}/organisms.csv" if table == "organisms" else f"{G}/{table}.csv"
                for table in tables
            ],
            code=code("plot_ground"),
        output:
            pdf=f"{G}/figures/{figure}.pdf",
            png=shown(
                f"{G}/figures/{figure}.png",
                section,
                title,
                caption=f"ground/{figure}",
            ),
        log:
            f"{LOGS}/plot_ground_{figure}.log",
        benchmark:
            f"{BENCHMARKS}/plot_ground_{figure}.tsv"
        conda:
            "../envs/plotting.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            figure=figure,
            labels={model: CONFIG["models"][model]["label"] for model in RANKED if figure not in UNLABELLED},
            sizes=RANKED_SIZES if figure == "tau_by_size" else {},
        message:
            f"Draw {figure}"
        script:
            "../scripts/plot_ground.py"
