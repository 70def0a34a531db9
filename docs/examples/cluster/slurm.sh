#!/bin/bash
# A search on several nodes of Slurm: sbatch slurm.sh
# The working folder must be shared by all nodes. Submitted again, it resumes the run.
#SBATCH --job-name=nas
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00

set -euo pipefail

RUN=runs/slurm
DATA=data/drones
PORT=6379

source .venv/bin/activate
export OMP_NUM_THREADS=1

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$PORT

# Starts Ray on one node, in a step of its own that ends with the job.
start_ray() {
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$1" \
    ray start "${@:2}" --num-cpus="$SLURM_CPUS_PER_TASK" --disable-usage-stats --block &
}

start_ray "$head" --head --node-ip-address="${address%:*}" --port="$PORT" --include-dashboard=false
until srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" ray health-check --address "$address"; do sleep 2; done
for node in "${nodes[@]:1}"; do
  start_ray "$node" --address="$address"
done
sleep 20 # nodes that come later are used as well

search=(--name "$(basename "$RUN")" --out "$(dirname "$RUN")" --data "$DATA" --budget-gflops 1 --hours 11)
if [[ -d $RUN ]]; then
  search=(--resume "$RUN")
fi
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  nas run "${search[@]}" --executor ray --address "$address" --cpus-per-trial "$SLURM_CPUS_PER_TASK"
