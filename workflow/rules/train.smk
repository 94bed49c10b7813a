rule train:
    input:
        waits_for(lambda wildcards: PENDING.dataset(group_of(wildcards))),
    output:
        touch(TODO + "/train/{task}/{group}/{seeds}"),
    log:
        "logs/train/{task}/{group}/{seeds}.log",
    benchmark:
        "logs/benchmarks/train/{task}/{group}/{seeds}.tsv"
    threads: PARAMS.compute.threads_per_job
    resources:
        mem_mb=memory(demand_of_training),
        runtime=minutes(demand_of_training),
        gpu=GPUS,
    params:
        dac=DAC,
    message:
        "Train {wildcards.task} {wildcards.group}, seeds {wildcards.seeds}"
    shell:
        "{params.dac} train {wildcards.task} {wildcards.group} --seeds {wildcards.seeds} --threads {threads}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
