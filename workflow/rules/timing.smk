rule time:
    input:
        waits_for(lambda wildcards: PENDING.environment(timed_group(wildcards))),
    output:
        touch(TODO + "/time/{task}/{timing}"),
    log:
        "logs/time/{task}/{timing}.log",
    benchmark:
        "logs/benchmarks/time/{task}/{timing}.tsv"
    # All of this machine's, so that nothing else runs meanwhile; PyTorch has those of a training.
    threads: cores_of(of_timing(share_of))
    resources:
        mem_mb=memory(of_timing(demand_of)),
        runtime=minutes(of_timing(demand_of)),
        gpu=gpus_of(of_timing(share_of)),
        slurm_extra="--exclusive",
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
        on=device_of_job,
        torch_threads=PARAMS.compute.cpu_threads,
    message:
        "Time gradient steps: {wildcards.task} {wildcards.timing}"
    shell:
        "{params.keep_log} {log:q}; {params.dac} time {wildcards.task} {wildcards.timing} --threads {params.torch_threads} --on {params.on}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
