rule train:
    input:
        waits_for(lambda wildcards: PENDING.dataset(group_of(wildcards))),
    output:
        touch(TODO + "/train/{task}/{group}/{seeds}"),
    log:
        "logs/train/{task}/{group}/{seeds}.log",
    benchmark:
        "logs/benchmarks/train/{task}/{group}/{seeds}.tsv"
    threads: cores_of(of_training(share_of))
    resources:
        mem_mb=memory(of_training(demand_of)),
        runtime=minutes(of_training(demand_of)),
        gpu=gpus_of(of_training(share_of)),
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
        on=device_of_job,
    message:
        "Train {wildcards.task} {wildcards.group}, seeds {wildcards.seeds}"
    shell:
        "{params.keep_log} {log:q}; {params.dac} train {wildcards.task} {wildcards.group} --seeds {wildcards.seeds} --threads {threads} --on {params.on}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
