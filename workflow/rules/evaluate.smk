rule evaluate:
    input:
        waits_for(
            lambda wildcards: PENDING.trainings(
                group_of(wildcards), seeds_of(wildcards)
            )
        ),
    output:
        touch(TODO + "/evaluate/{task}/{group}/{seeds}/{evaluations}"),
    log:
        "logs/evaluate/{task}/{group}/{seeds}/{evaluations}.log",
    benchmark:
        "logs/benchmarks/evaluate/{task}/{group}/{seeds}/{evaluations}.tsv"
    threads: PARAMS.compute.threads_per_job
    resources:
        mem_mb=memory(demand_of_evaluation),
        runtime=minutes(demand_of_evaluation),
        gpu=GPUS,
    params:
        dac=DAC,
    message:
        "Evaluate {wildcards.task} {wildcards.group}, seeds {wildcards.seeds}"
    shell:
        "{params.dac} evaluate {wildcards.task} {wildcards.group} --seeds {wildcards.seeds}"
        " --evaluations {wildcards.evaluations} --threads {threads}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
