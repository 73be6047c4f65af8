def score_inputs(wildcards):
    """The captions of every network that the tables score on this role."""
    jobs = [job for job in PLAN.captions if (job.role, job.split) == (wildcards.role, "test")]
    pool = "primary" if wildcards.role == "novel" else wildcards.role
    roles = sorted({PLAN.runs[job.run].role for job in jobs})
    return [
        *annotations(wildcards.role),
        *annotations(pool),
        f"{ROOT}/index/{wildcards.role}/retrieved.npz",
        *[f"{ROOT}/vocabulary/{role}.json" for role in roles],
        *sorted({captions_done(job) for job in jobs}),
    ]


# The baselines are written last and stand for the scores of all networks, which are made together.
rule score:
    input:
        score_inputs,
        tracking=ancient(TRACKING),
    output:
        f"{ROOT}/scores/baselines/{{role}}-test.json",
    params:
        code=code_digest("rdt.scoring"),
        rows=lambda wildcards: setting([asdict(cell) for cell in PLAN.cells if cell.role == wildcards.role]),
    log:
        f"{ROOT}/logs/score_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/score_{{role}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("score EXPERIMENT --role {wildcards.role}")


rule tables:
    input:
        scores=expand(f"{ROOT}/scores/baselines/{{role}}-test.json", role=sorted({cell.role for cell in PLAN.cells if cell.runs})),
        rows="experiments/tables.yaml",
        published=[f"reports/published/table_{name}.csv" for name in TABLES],
    output:
        rules_of_tables(),
        (PATHS.reports / "README.md").as_posix(),
        headline=PATHS.headline.as_posix(),
    params:
        code=code_digest("rdt.tables"),
    log:
        f"{ROOT}/logs/tables.log",
    benchmark:
        f"{ROOT}/benchmarks/tables.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("tables EXPERIMENT")


onsuccess:
    shell(f"python -m rdt track flush {NAME}")
    if Path(PATHS.headline.as_posix()).exists():
        print(Path(PATHS.headline.as_posix()).read_text())


onerror:
    shell(f"python -m rdt track flush {NAME}")
