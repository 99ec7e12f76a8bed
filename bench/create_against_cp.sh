#!/bin/bash
# create-vs of a fleet against `cp -al global && cp -a local`, two at a time, on the same file system, both timed until
# their work is on disk. Interleaved rounds; prints each round and the median of the ratios.
#
#   bench/create_against_cp.sh VSKEL DIRECTORY SKEL_SOURCE [VSERVERS] [ROUNDS]
#
# DIRECTORY is a scratch directory on the file system to measure; SKEL_SOURCE a root to build the skel from.
set -euo pipefail
vskel=$(realpath "$1") work=$(realpath "$2") source=$(realpath "$3") count=${4:-20} rounds=${5:-7}

scratch=$(mktemp -d "$work/vskel-bench.XXXXXX")
cleanup() {
  chattr -R -i "$scratch" 2>/dev/null || true
  rm -rf "$scratch"
}
trap cleanup EXIT
run() { "$vskel" --vservers "$scratch/vservers" --etc "$scratch/etc" -q "$@"; }

run build-skel bench --from "$source" >/dev/null 2>&1
skel=$scratch/vservers/.skel/bench
# The peer links unsealed copies: a mainline kernel would refuse it to link sealed files at all.
mkdir "$scratch/peer"
cp -a "$skel/global" "$skel/local" "$scratch/peer/"

seconds() { local start=$EPOCHREALTIME; "$@" >&2; local end=$EPOCHREALTIME; awk "BEGIN { print $end - $start }"; }
ours() { run create-vs bench --count "$count" --name 'v%03d' --fqdn '%s.example.com' --ip-from 10.0.0.1 >/dev/null; }
peer() {
  cd "$scratch/peer"
  seq "$count" | xargs -P2 -I{} sh -c 'cp -al global v{} && cp -a local/. v{}'
  sync -f .
}
drop_ours() { run remove-vs --yes $(seq -f 'v%03g' "$count") >/dev/null; }
drop_peer() { (cd "$scratch/peer" && seq "$count" | xargs -P2 -I{} rm -rf v{}); }

ratios=()
for round in $(seq "$rounds"); do
  sync -f "$scratch"
  a=$(seconds ours); drop_ours; sync -f "$scratch"
  b=$(seconds peer); drop_peer
  ratios+=("$(awk "BEGIN { printf \"%.3f\", $b / $a }")")
  printf 'round %d: vskel %.3f s, cp %.3f s, cp/vskel %s\n' "$round" "$a" "$b" "${ratios[-1]}"
done
printf 'median of cp/vskel over %d rounds, %d vservers: %s\n' "$rounds" "$count" \
  "$(printf '%s\n' "${ratios[@]}" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }')"
