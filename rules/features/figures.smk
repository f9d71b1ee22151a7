# features/*.csv → results/<study>/features/figures/: a function in leakscope.figures.features a figure, PDF and PNG; and
# a target for each part of the step.


rule plot_features:
    input:
        tables=[features.table(name) for name in features.tables] + study.style_files,
        code=code("figures/plot"),
    output:
        pdf=[f"<features>/figures/{figure}.pdf" for figure in features.figures],
        png=[shown(f"<features>/figures/{figure}.png") for figure in features.figures],
    log:
        "<logs>/plot_features.log",
    conda:
        "../../envs/plotting.yaml"
    threads: 4
    params:
        **features.plotting(),
    script:
        "../../scripts/figures/plot.py"


for part in features.parts:

    rule:
        name:
            f"features_{part}"
        input:
            lambda w, part=part: targets("features", part),
        localrule: True
