# What is made on request: the page that shows everything, and what the side plans measured.
rule report:
    input:
        made_from("report"),
    output:
        report(made("report"), category="Report", caption="../report/report.rst"),
    log:
        f"{ROOT}/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        made_with("report"),
    message:
        "write the report"
    shell:
        f"RDT_RULE=report python -m rdt report {NAMED} > {{log}} 2>&1"


for SIDE in (side.name for side in NETWORKS.sides):

    rule:
        name:
            SIDE
        input:
            made_from(SIDE),
            tracking=tracked(SIDE),
        output:
            report(
                made(SIDE),
                category=SIDE.capitalize(),
                caption=f"../report/{SIDE}.rst",
            ),
        log:
            f"{ROOT}/logs/{SIDE}.log",
        conda:
            ENVIRONMENT
        threads: 2  # METEOR's process works beside ours
        params:
            made_with(SIDE),
        message:
            f"score the networks of the {SIDE}"
        shell:
            f"RDT_RULE={SIDE} python -m rdt {SIDE} {NAMED} > {{log}} 2>&1"
