#!/usr/bin/env bash
# Check and measure i2i on an NVIDIA GPU: `tools/bench/gpu.sh FOLDER` takes about ten minutes, and needs no network.
#
# FOLDER gets doctor.txt, tests.txt, steps.md (the table of docs/benchmarks.md), translate.txt and training-*.jsonl. A
# part that fails or takes too long does not stop the next; the script then exits with 1. I2I_BENCH_DEVICE=cpu and
# I2I_BENCH_TINY=1 run every part on a CPU, in a minute or two: to try the script, not to measure anything.
set -u
out=${1:?"usage: tools/bench/gpu.sh FOLDER"}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export I2I_TEST_DEVICE=${I2I_BENCH_DEVICE:-cuda} PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=${I2I_PYTHON:-python3} device=$I2I_TEST_DEVICE failed=0 slack=1

all=(fp32 tf32 bf16 channels_last compile graphs_tf32 graphs graphs_compile plain_tf32)
most=(fp32 tf32 channels_last graphs_tf32 graphs)
long=("pix2pix 256, batch 1" "pix2pix 256, batch 16") short=("pix2pix 128, batch 1" "CycleGAN 128, batch 1" "DCGAN 64, batch 64")
modern=("modern 256, batch 8" "CUT 128, batch 1")
steps=(--rounds 5 --seconds 0.5 --together) tests=(-n 8) networks=(unet64 resnet9) pictures=300 rounds=3 alone=3 images=12800
if [ -n "${I2I_BENCH_TINY:-}" ]; then
    all=(graphs_tf32) most=(plain_tf32) long=("pix2pix 32, batch 1") short=("pix2pix 32, batch 1") modern=("pix2pix 32, batch 1")
    steps=(--rounds 2 --seconds 0.1) tests=(-k estimate) networks=(unet16) pictures=2 rounds=1 alone=0.2 images=16 slack=10
fi

"$python" -c "import xdist" 2>/dev/null || [ "${tests[0]}" != -n ] || tests=()  # one process then

part() {  # part FILE SECONDS COMMAND...: run a part; what it prints goes to FILE
    local file=$out/$1 seconds=$2 began=$SECONDS code
    shift 2
    timeout -k 5 $((seconds * slack)) "$@" >"$file" 2>"$file.err"
    code=$?
    [ $code = 0 ] || failed=1
    echo "${file##*/}: exit $code after $((SECONDS - began)) s" | tee -a "$out/parts.txt"
}

train() {  # train NAME SETTING...: a training of 64 px; NAME.jsonl gets its log, with images and seconds
    local name=$1
    shift
    rm -rf "$out/run"
    part "$name.txt" 90 "$python" -m i2i train lineart --data datasets/lineart --device "$device" --out "$out/run" \
        --set schedule.images="$images" --set schedule.decay_images=0 --set log.samples_every_images=100000 "$@"
    cp "$out/run/metrics.jsonl" "$out/$name.jsonl"
    rm -rf "$out/run"
}

part doctor.txt 60 "$python" -m i2i doctor
part tests.txt 150 "$python" -m pytest -q -s -m slow -p no:cacheprovider tests/test_device.py "${tests[@]}"
part steps.md 240 "$python" tools/bench/train_step.py --device "$device" --skip-check "${steps[@]}" \
    --cases "${long[@]}" --modes "${all[@]}"
part steps2.md 150 "$python" tools/bench/train_step.py --device "$device" --skip-check "${steps[@]}" \
    --cases "${short[@]}" --modes "${most[@]}"
part steps3.md 120 "$python" tools/bench/train_step.py --device "$device" --skip-check "${steps[@]}" \
    --cases "${modern[@]}" --modes "${most[@]}"
part translate.txt 90 "$python" tools/bench/translate.py --device "$device" --networks "${networks[@]}" \
    --pictures "$pictures" --rounds "$rounds" --seconds "$alone"
train training-default
train training-ram --set data.cache=ram --set train.precision=bf16 --set train.channels_last=true
for more in steps2 steps3; do tail -n +3 "$out/$more.md" >>"$out/steps.md"; done
cat "$out/steps.md" "$out/translate.txt"
exit $failed
