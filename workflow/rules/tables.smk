report: "../report/workflow.rst"


# The baselines are written last and stand for the scores of all networks, which are made together.
rule score:
    input:
        score_inputs,
        tracking=ancient(TRACKING),
    output:
        f"{ROOT}/scores/baselines/{{role}}-test.json",
    log:
        f"{ROOT}/logs/score_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/score_{{role}}.tsv"
    conda:
        ENVIRONMENT
    threads: 2  # METEOR's process works beside ours
    params:
        code=code_digest("rdt.commands.score"),
        rows=lambda wildcards: setting(
            [asdict(cell) for cell in PLAN.cells if cell.role == wildcards.role]
        ),
    message:
        "score the captions of {wildcards.role}"
    shell:
        rdt("score EXPERIMENT --role {wildcards.role}")


rule tables:
    input:
        scores=all_scores(),
        probe=probe_files(),
        rows="experiments/tables.yaml",
        published=[f"reports/published/table_{name}.csv" for name in EXPERIMENT.tables],
    output:
        [
            report(
                path,
                category="Tables",
                labels={"table": name},
                caption="../report/table.rst",
            )
            for name, path in zip(EXPERIMENT.tables, table_files(".md"))
        ],
        table_files(".csv"),
        table_files(".tex"),
        table_files("_tests.csv"),
        server_archive(),
        page=(PATHS.reports / "README.md").as_posix(),
        headline=PATHS.headline.as_posix(),
    log:
        f"{ROOT}/logs/tables.log",
    benchmark:
        f"{ROOT}/benchmarks/tables.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.commands.tables"),
    message:
        "write the tables"
    shell:
        rdt("tables EXPERIMENT")


rule claims:
    input:
        scores=all_scores(),
        claims="reports/claims.yaml",
        rows="experiments/tables.yaml",
        published=[f"reports/published/table_{name}.csv" for name in EXPERIMENT.tables],
    output:
        report(
            PATHS.claims.as_posix(),
            category="Claims",
            caption="../report/claims.rst",
        ),
        PATHS.claims.with_suffix(".csv").as_posix(),
        verdicts=PATHS.verdicts.as_posix(),
    log:
        f"{ROOT}/logs/claims.log",
    benchmark:
        f"{ROOT}/benchmarks/claims.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.commands.claims"),
    message:
        "judge the paper's claims"
    shell:
        rdt("claims EXPERIMENT")


onsuccess:
    for path in (PATHS.headline, PATHS.verdicts):
        if path.exists():
            print(path.read_text(encoding="utf-8"), end="", flush=True)
    shell(f"python -m rdt track flush {shlex.quote(NAME)}")


onerror:
    shell(f"python -m rdt track flush {shlex.quote(NAME)}")
