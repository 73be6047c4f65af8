# What is made on request: the page that shows everything, and the differences to the released code.
rule report:
    input:
        made_from("report"),
    output:
        report(made("report"), category="Report", caption="../report/report.rst"),
    log:
        f"{ROOT}/logs/report.log",
    benchmark:
        f"{ROOT}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    params:
        made_with("report"),
    message:
        "write the report"
    shell:
        f"RDT_RULE=report python -m rdt report {NAMED} > {{log}} 2>&1"


rule differences:
    input:
        made_from("differences"),
        tracking=ancient(TRACKING),
    output:
        report(
            made("differences"),
            category="Differences",
            caption="../report/differences.rst",
        ),
    log:
        f"{ROOT}/logs/differences.log",
    benchmark:
        f"{ROOT}/benchmarks/differences.tsv"
    conda:
        ENVIRONMENT
    threads: 2  # METEOR's process works beside ours
    params:
        made_with("differences"),
    message:
        "score the differences between paper and released code"
    shell:
        f"RDT_RULE=differences python -m rdt differences {NAMED} > {{log}} 2>&1"
