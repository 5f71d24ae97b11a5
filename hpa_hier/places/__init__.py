"""Where work runs: this machine, the workers of Dask or Ray, the jobs of SLURM."""
