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
    threads: cores_of(of_evaluation(share_of))
    resources:
        mem_mb=memory(of_evaluation(demand_of)),
        runtime=minutes(of_evaluation(demand_of)),
        gpu=gpus_of(of_evaluation(share_of)),
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
        on=device_of_job,
    message:
        "Evaluate {wildcards.task} {wildcards.group}, seeds {wildcards.seeds}"
    shell:
        "{params.keep_log} {log:q}; {params.dac} evaluate {wildcards.task} {wildcards.group} --seeds {wildcards.seeds}"
        " --evaluations {wildcards.evaluations} --threads {threads} --on {params.on}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
