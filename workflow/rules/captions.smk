def captions_done(job):
    """The manifest of the folder that a caption job fills: written last, it stands for its files."""
    return PATHS.captions(job.run, job.trained_stage, "", "").with_name("manifest.json").as_posix()


def caption_inputs(wildcards):
    """The network, the features of what it captions, and the first network's captions for a second one."""
    jobs = caption_jobs(wildcards.run, wildcards.stage)
    files = [*weights(wildcards.run, wildcards.stage)]
    files.append(f"{ROOT}/vocabulary/{PLAN.runs[wildcards.run].role}.json")
    for role in sorted({job.role for job in jobs}):
        files += [*annotations(role), *store(role), f"{ROOT}/index/{role}/retrieved.npz"]
    firsts = {captions_done(first) for job in jobs for first in PLAN.caption_inputs(job)}
    return files + sorted(firsts)


rule caption:
    input:
        caption_inputs,
        tracking=ancient(TRACKING),
    output:
        f"{ROOT}/captions/{{run}}/{{stage}}/manifest.json",
    params:
        code=code_digest("rdt.captioning"),
        settings=lambda wildcards: setting([asdict(job) for job in caption_jobs(wildcards.run, wildcards.stage)]),
    threads: EXPERIMENT.training.threads
    log:
        f"{ROOT}/logs/caption/{{run}}.{{stage}}.log",
    benchmark:
        f"{ROOT}/benchmarks/caption/{{run}}.{{stage}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("caption EXPERIMENT --run {wildcards.run} --stage {wildcards.stage}")
