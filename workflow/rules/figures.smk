"""The figures of report/catalogue.py. They read stored numbers, so that a change of a colour runs no network."""


rule plot:
    input:
        unpack(plot_results),
        code=plot_code,
    output:
        report(
            "<fold>/plots/{figure}.png",
            caption="../report/figure.rst",
            category=plot_section,
            labels={"figure": "{figure}", **FOLD_LABEL},
        ),
        "<fold>/plots/{figure}.svg",
        "<fold>/plots/{figure}.json",
    log:
        "<fold>/logs/plot/{figure}.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        function=plot_function,
        options=plot_options,
        label=plot_label,
        caption=plot_caption,
    script:
        "../../scripts/plot.py"


# asked for by its name: no run makes it
rule find_learning_rate:
    input:
        all_folds("plots/learning_rates.png"),
    localrule: True


PLOTS = [f"<fold>/plots/{entry.name}.png" for entry in catalogue.plots(settings)]
CARD_PLOTS = [
    f"<fold>/plots/{entry.name}.png"
    for entry in catalogue.plots(settings)
    if entry.is_on_card
]
