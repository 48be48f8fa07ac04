#!/bin/bash
# Translates a folder in 16 jobs of a SLURM array, each a share of it. All see the same files.
#   sbatch --export=ALL,MODEL=model.onnx,SOURCE=photos,TARGET=drawings slurm_array.sh
# A job that was killed is queued again, and the same command later does what is left.
#SBATCH --job-name=i2i
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=i2i-%A_%a.log
# For GPUs: #SBATCH --gpus-per-task=1
set -eu

share=$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
i2i translate "$SOURCE" -m "$MODEL" -o "$TARGET" --shard "$share" --skip-existing \
  --report "$TARGET.failures.$SLURM_ARRAY_TASK_ID.json" || [ $? -eq 3 ]  # 3: some were refused, and the report lists them
