# What is made on request: the page that shows everything, and the differences to the released code.
rule report:
    input:
        page=(PATHS.reports / "README.md").as_posix(),
        verdicts=PATHS.claims.as_posix(),
        forms=["rdt/report/page.html", "rdt/report/style.css"],
        # shown where it was asked for before
        differences=PATHS.differences.as_posix() if PATHS.differences.exists() else [],
    output:
        report(
            PATHS.report.as_posix(), category="Report", caption="../report/report.rst"
        ),
    log:
        f"{ROOT}/logs/report.log",
    benchmark:
        f"{ROOT}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.report.page"),
    message:
        "write the report"
    shell:
        rdt("report EXPERIMENT")


rule differences:
    input:
        difference_inputs(),
        tracking=ancient(TRACKING),
        switches="experiments/differences.yaml",
        released="experiments/method/released.yaml",
    output:
        report(
            PATHS.differences.as_posix(),
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
        code=code_digest("rdt.commands.differences"),
    message:
        "score the differences between paper and released code"
    shell:
        rdt("differences EXPERIMENT")
