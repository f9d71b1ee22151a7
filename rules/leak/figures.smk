# tables → results/<study>/figures/, and every pair → results/<study>/explorer.html: one page to read the texts in.
# A new figure is a function in leakscope.figures, a line in leakscope.workflow.leak, and in report/ a line and a caption.


rule plot_leak:
    input:
        tables=[leak.table(name) for name in leak.tables] + study.style_files,
        code=code("figures/plot"),
    output:
        pdf=[f"<results>/figures/{figure}.pdf" for figure in leak.figures],
        png=[shown(f"<results>/figures/{figure}.png") for figure in leak.figures],
    log:
        "<logs>/plot_leak.log",
    conda:
        "../../envs/plotting.yaml"
    threads: 4
    params:
        **leak.plotting(),
    script:
        "../../scripts/figures/plot.py"


rule write_explorer:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        pairs=expand("<results>/leakage/{prompt_set}/{scorer}.parquet", **study.compared),
        texts=expand("<results>/matching/{prompt_set}/{scorer}.texts.parquet", **study.compared),
        generations=expand("<results>/generations/{model}/{prompt_set}.parquet", **study.written),
        similarity=expand("<results>/similarity/{scorer}.parquet", scorer=study.scorers),
        rates="<results>/match_rates.csv",
        page=[own("report/explorer.template.html"), own("report/page.css"), own("report/page.js")],
        code=code("leak/write_explorer"),
    output:
        page=shown("<results>/explorer.html"),
    log:
        "<logs>/write_explorer.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=study.name,
        scorers=study.scorers,
        decimals=study.config["leak"]["decimals"],
    script:
        "../../scripts/leak/write_explorer.py"
