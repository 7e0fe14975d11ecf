#!/usr/bin/env bash
# bash docs/cluster/ssh.sh 4 alice bob      a scheduler here, and 4 workers on each of the machines
# They have a clone of the same commit at the same path. Ctrl-C ends all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ $# -ge 2 && $1 =~ ^[1-9][0-9]*$ ]] || { sed -n 2,3p "${BASH_SOURCE[0]}" >&2; exit 1; }
count=$1
shift
printf -v folder %q "$PWD"
address=tcp://${HOST:-$(hostname)}:${PORT:-8786}
trap 'kill $(jobs -p) 2>/dev/null' EXIT
.venv/bin/python -m distributed.cli.dask_scheduler --port "${PORT:-8786}" --no-dashboard &
scheduler=$!
for machine in "$@"; do
  # -tt: the workers end with this script
  ssh -tt "$machine" "cd $folder && export PYTHONPATH=$folder OMP_NUM_THREADS=1 &&
    .venv/bin/python -m distributed.cli.dask_worker $address --nworkers $count --nthreads 1 \
      --memory-limit 0 --no-dashboard --death-timeout 60" &
done
wait "$scheduler"  # where it cannot start, the workers end, too
