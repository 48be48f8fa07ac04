"""Messages: every mistake ends in one, with its exit code and the name to act on.

Their whole texts stand in tests/golden/messages.txt alone; `--update-golden` writes it anew.
"""

import os
import re
import shlex

import numpy as np

from i2i.interop.pytorch_cyclegan_pix2pix import PROJECT
from tests.cli.test_cli import call
from tests.conftest import ROOT, save

_WAITING = re.compile(r"\A(.* \.\.\.( \d+ s)?\n)+")
"""What a slow machine says meanwhile."""
GOLDEN = ROOT / "tests" / "golden" / "messages.txt"
HUES = "--data D --set data.labels=D/labels.csv --set data.text=shape"
TRAIN = [  # what stands after `i2i train`, the exit code, what the message must name
    ("pix3pix", 2, "pix2pix"),
    ("colorize", 2, "--data"),
    ("lineart --data nowhere --out r", 1, "nowhere"),
    ("lineart --data D --data D --data D", 2, "two folders"),
    ("colorize --set 'data.path=[a, b, c]'", 2, "two folders"),
    ("lineart --data D --out -", 2, "--out"),
    ("lineart --data D --out runs/lineart", 2, "\n         i2i train lineart --data D --out runs/lineart --resume\n"),
    ("lineart --data D --out new --init-from photo.jpg", 1, "photo.jpg"),
    ("lineart --seed 99999999999999999999 --data D", 2, "train.seed"),
    ("lineart --dry-run --set data.crop_px=50", 2, "64"),
    ("lineart --data D --out new --set train.keep=best --set train.best_by=lpips", 2, "weights get alexnet"),
    ("lineart --data D --out new --set train.keep=best --set train.patience_images=9", 2, "log.samples_every_images"),
    ("dcgan --data D --data D", 2, "2 data folders"),
    ("lineart --dry-run --init-from none.pth", 1, "none.pth"),
    ("lineart --dry-run --init-from runs/faces", 2, "runs/faces"),
    ("lineart --dry-run --after runs/faces", 2, "runs/faces"),
    ("pix2pix --dry-run --set data.derive.name=grey --set data.direction=A2B", 2, "data.channels_a"),
    ("cyclegan --dry-run --set data.derive.name=grey", 2, "cyclegan"),
    ("dcgan --dry-run --set data.derive.name=grey", 2, "gan"),
    ("pix2pix --data D --set generator.name=dcgan", 2, "dcgan"),
    ("style_fashion --data D --out new --set 'generator={name: dcgan}'", 2, "style"),
    ("progressive_fashion --data D --out new --set 'generator={name: dcgan}'", 2, "progressive"),
    ("dcgan --data D --out new --after runs/faces", 2, "builds on no other run"),
    (f"stackgan_emoji_64 {HUES} --out new", 2, "--after"),
    (f"stackgan_emoji_64 {HUES} --out new --after runs/faces", 2, "dcgan"),
    (f"stackgan_emoji_64 {HUES} --out new --after runs/hues", 2, "generator.first_width=2"),
    ("cut --data D --dry-run --set loss.terms.feature_matching=1", 2, "loss.terms.feature_matching"),
    ("lineart --data D --dry-run --set data.crop_px=16 --set generator.depth=4 --set loss.terms.lpips=1", 2, "31"),
]
SET = [  # what stands after `i2i train pix2pix --data D --set`, and what the message must name
    ("optimizer.lrr=1", "optimizer.lr"),
    ("optimizer.learning_rate=1e-3", "optimizer.lr"),
    ("optimiser.lr=1e-3", "optimizer"),
    ("optimizer.lr=.inf", "optimizer.lr"),
    ("train.lr=1e-3", "optimizer.lr"),
    ("train.batch_size=4", "train.batch"),
    ("train.batch=none", "train.batch"),
    ("train.batch=0", "train.batch"),
    ("train.ema_decay=0.999", "train.ema_half_life_images"),
    ("train.precision=fp8", "fp16"),
    ("train.channels_last=maybe", "auto"),
    ("train.tf32=[maybe]", "train.tf32"),
    ("train=fast", "train.batch"),
    ("train.best_by=fid", "kid_inception"),
    ("train.best_by=ssim", "train.keep=best"),
    ("train.patience_images=100", "train.keep=best"),
    ("train.seed", "train.seed"),
    ("train.seed.deep=1", "train.seed"),
    ("train.seed=[", "YAML"),
    ("'train={compile: true, activation_checkpointing: true}'", "activation_checkpointing"),
    ("'train={cuda_graphs: true, accumulate: 2}'", "accumulate"),
    ("generator.blocks=6", "generator.blocks"),
    ("generator.dept=6", "generator.depth"),
    ("generator.depth=12", "generator.depth"),
    ("generator.name=vnet", "unet"),
    ("generator=unet", "generator.name"),
    ("discriminator.dropout=0", "spectral_norm"),
    ("optimizer.betas=0.5", "optimizer.betas"),
    ("optimizer.name=adamw", "adam"),
    ("optimizer.momentum=0.5", "optimizer.momentum"),
    ("'optimizer={name: sgd, betas: [0.5, 0.9]}'", "optimizer.betas"),
    ("data.workers=many", "auto"),
    ("data.derive.side=0.5", "data.derive.name"),
    ("data.crop_sise=128", "data.crop_px"),
    ("data.channels_a=2", "data.channels_a"),
    ("data.resize_px=128", "resize_px"),
    ("loss.lambda_L1=10", "loss.l1"),
    ("loss.l1=-1", "loss.l1"),
    ("loss.terms.lpip=1", "loss.terms.lpips"),
    ("loss.terms.lpips=-1", "loss.terms.lpips"),
    ("loss.l1=null", "over_images"),
    ("'loss.l1={from: 1, to: 2}'", "loss.l1.over_images"),
    ("'loss.l1={form: 1, from: 1, to: 2, over_images: 5}'", "loss.l1.from"),
    ("'schedule={images: 100, epochs: 5}'", "epochs"),
    ("algorithm=pixpix", "pix2pix"),
    ("generator.name=resnet_9blocks", "generator.blocks=9"),
    ("loss.adversarial=wgangp", "loss.penalty=gradient"),
    ("train.n_layers_D=3", "discriminator.layers"),
]
USE = [  # what stands after `i2i`, the exit code, what the message must name
    ("translate photo.jpg -m model.onnx --in-place -o out", 2, "out"),
    ("translate photo.jpg -m model.onnx -o out --mask none.png", 2, "none.png"),
    ("translate photo.jpg -m model.onnx -o out --then runs/faces", 2, "i2i generate"),
    ("translate photo.jpg -m model.onnx -o out --then runs/horses", 2, "runs/horses:A2B"),
    ("translate photo.jpg -m model.onnx -o out --then none.onnx", 1, "none.onnx"),
    ("generate -m runs/ring -o g.png --then model.onnx", 2, "points"),
    ("translate photo.jpg -m model.onnx -o out --mask auto", 2, "--mask"),
    ("translate photo.jpg -m model.onnx -o out --mask auto --fit crop", 2, "--fit crop"),
    ("translate nothing.jpg -m model.onnx -o out", 2, "nothing.jpg"),
    ("translate photos/*.gif photo.jpg -m model.onnx -o out", 2, "photos/*.gif"),
    ("translate photo.jpg photos -m model.onnx -o out.png", 2, "out.png"),
    ("translate photo.jpg -m model.onnx -o out.pgn", 2, ".pgn"),
    ("translate photo.jpg -m model.onnx -o -", 2, "-o"),
    ("translate photo.jpg -m photo.jpg -o out", 1, "photo.jpg"),
    ("translate photo.jpg -m model.onnx -o out --direction A2B", 2, "B2A"),
    ("translate photo.jpg -m model.onnx -o photo.jpg --overwrite", 2, "photo.jpg"),
    ("translate photo.jpg -m runs/faces -o out", 2, "i2i generate"),
    ("translate photo.jpg -m runs/lineart -o out.png --label shoe", 2, "without labels"),
    ("translate photo.jpg -m runs/things -o out.png --label shoe", 2, "colour"),
    ("translate photo.jpg -m runs/things -o out.png --label shoe,green", 2, "green"),
    ("translate photo.jpg -m runs/things -o out.png --label shoe,bag", 2, "thing"),
    ("evaluate -m model.onnx --data D --data D --data D", 2, "3 data folders"),
    ("evaluate -m model.onnx --data D --rows -", 2, "--rows"),
    ("evaluate -m model.onnx --data D --split val --direction A2B", 2, "B2A"),
    ("evaluate -m model.onnx --data photos", 1, "photos"),
    ("evaluate -m model.onnx --data D --split val --metrics ''", 2, "ms_ssim"),
    ("evaluate -m model.onnx --data D --split val --sheet s.png --worst s.png", 2, "s.png"),
    ("compare runs/lineart photos", 2, "photos"),
    ("compare runs/lineart runs/../runs/lineart", 2, "runs/../runs/lineart"),
    ("compare runs/lineart -o c.png", 2, ".html"),
    ("diagnose photos", 2, "config.yaml"),
    ("diagnose runs/lineart --pictures 3", 2, "4"),
    ("info photo.jpg", 1, "photo.jpg"),
    ("import latest_net_G.pth -o -", 2, "-o"),
    ("generate -m runs/lineart -o g.png", 2, "i2i translate"),
    ("generate -m runs/faces -o g.jpg", 2, ".png"),
    ("generate -m runs/faces -n 0 -o g.png", 2, "0"),
    ("generate -m runs/faces -n 100001 -o g.png", 2, "100001"),
    ("generate -m runs/faces -n 1025 -o g.png", 2, "1,024"),
    ("generate -m runs/faces --seed -1 -o g.png", 2, "-1"),
    ("generate -m runs/faces --separate -o -", 2, "-o"),
    ("generate -m runs/faces --separate -o g.pgn", 2, "g.pgn"),
    ("generate -m runs/faces --separate -o g.png", 2, "g.png"),
    ("generate -m runs/faces --separate -o mine.yaml", 2, "mine.yaml"),
    ("generate -m runs/faces -o old.png", 2, "--overwrite"),
    ("generate -m runs/faces --seed 3 --separate -o old", 2, "000005.png"),
    ("generate -m runs/faces -o g.png --save-latents old.npy", 2, "old.npy"),
    ("generate -m runs/faces -o g.png --save-latents z.txt", 2, ".npy"),
    ("generate -m runs/faces -o g.png --latents old.npy", 1, "(N, 16)"),
    ("generate -m runs/faces -o g.png --latents none.npy", 2, "none.npy"),
    ("generate -m runs/faces -o g.png --latents mine.yaml", 2, "mine.yaml"),
    ("generate -m runs/faces -o g.png --latents old.npy --seed 1", 2, "--latents"),
    ("generate -m runs/faces -o g.png --label Bag", 2, "--label"),
    ("generate -m runs/faces -o g.png --text 'red fish'", 2, "--text"),
    ("generate -m runs/clothes -o g.png --label Shoe", 2, "Coat"),
    ("generate -m runs/hues -n 3 -o g.png --text red --text blue", 2, "--text"),
    ("generate -m runs/ring -o g --separate", 1, "points"),
    ("generate -m runs/faces --truncation 0.5 -o g.png", 2, "style_fashion"),
    ("generate -m runs/styles --truncation 2 -o g.png", 2, "2"),
    ("generate -m runs/faces --size 64x64 -o g.png", 2, "32x32"),
    ("generate -m runs/ring --size 64x64 -o g.png", 2, "points"),
    ("generate -m runs/shapes --size 512 -o g.png", 2, "512x384"),
    ("interpolate -m runs/faces --seeds 1,2 --space w -o s.png", 2, "style_fashion"),
    ("mix -m runs/faces --coarse 1 --fine 2 -o m.png", 2, "style_fashion"),
    ("mix -m runs/styles --coarse 1 --fine 2 --from-px 12 -o m.png", 2, "8, 16"),
    ("mix -m runs/styles --coarse 1 --fine 2 -o m.webp", 2, ".png"),
    ("interpolate -m runs/ring --seeds 1,2 -o s.png", 1, "points"),
    ("interpolate -m runs/faces --seeds 1,x -o s.png", 2, "1,x"),
    ("interpolate -m runs/faces --seeds 1,,2 -o s.png", 2, "1,,2"),
    ("interpolate -m runs/faces --seeds 1,-2 -o s.png", 2, "1,-2"),
    ("interpolate -m runs/faces --seeds 1 -o s.png", 2, "two"),
    ("interpolate -m runs/faces -o s.png", 2, "--seeds"),
    ("interpolate -m runs/faces --seeds 1,2 -o s.mp4", 2, ".webp"),
    ("interpolate -m runs/faces --seeds 1,2 --steps 0 -o s.png", 2, "0"),
    ("interpolate -m runs/faces --seeds 1,2 --steps 5000 -o s.gif", 2, "too many"),
    ("interpolate -m runs/lineart --seeds 1,2 -o s.png", 2, "i2i translate"),
    ("arithmetic -m runs/faces 1,2 3 -o s.png", 2, "C"),
    ("arithmetic -m runs/faces 1,2 3 x -o s.png", 2, "x"),
    ("arithmetic -m runs/faces 1 2 3 -o s.webp", 2, ".png"),
    ("arithmetic -m runs/faces old.npy 2 3 -o s.png", 1, "(N, 16)"),
    ("arithmetic -m runs/ring 1 2 3 -o s.png", 1, "points"),
    ("breed -m runs/ring -o litter", 2, "points"),
    ("breed -m runs/lineart -o litter", 2, "i2i translate"),
    ("breed -m runs/faces -o litter.png", 2, "litter.png"),
    ("breed -m runs/faces -o litter --keep 1", 2, "--keep"),
    ("breed -m runs/faces -o litter --keep 0", 2, "0"),
    ("breed -m runs/faces -o litter --mutation 2", 2, "2"),
    ("traverse -m runs/faces --code noise -o s.png", 2, "noise:0"),
    ("traverse -m runs/faces --code noise:16 -o s.png", 2, "noise:0"),
    ("traverse -m runs/hues --code text:1 -o s.png", 2, "--text"),
    ("traverse -m runs/faces --code colour -o s.png", 2, "colour"),
    ("traverse -m runs/faces --code noise:1 --seeds 1 --steps 1 -o s.png", 2, "1"),
    ("traverse -m runs/faces --code noise:1 --steps 200 -o s.png", 2, "1,024"),
    ("traverse -m runs/faces --code noise:1 -o s.webp", 2, ".png"),
    ("traverse -m runs/ring --code noise:1 -o s.png", 1, "points"),
    ("encode photo.jpg -m runs/faces -o z.npy", 2, "encoder"),
    ("encode photo.jpg -m runs/vae -o z.npy", 2, "--fit resize"),
    ("encode photo.jpg -m runs/vae -o z.npz", 2, ".npy"),
    ("encode nothing.jpg -m runs/vae -o z.npy", 1, "nothing.jpg"),
    ("encode empty -m runs/vae -o z.npy", 2, "no pictures"),
    ("invert photo.jpg -m faces.onnx -o z.npy", 2, "ONNX"),
    ("invert photo.jpg -m runs/lineart -o z.npy", 2, "i2i generate"),
    ("invert photo.jpg -m runs/ring -o z.npy", 2, "points"),
    ("invert photo.jpg -m runs/faces -o z.npy", 2, "--fit resize"),
    ("invert photo.jpg -m runs/faces -o z.npy --fit resize --label Bag", 2, "--label"),
    ("invert empty -m runs/faces -o z.npy", 2, "no pictures"),
    ("export model.safetensors -o model.onnx", 2, "model.onnx"),
    ("export runs -o m.onnx", 1, "model.safetensors"),
    ("export runs/lineart -o -", 2, "-o"),
    ("export runs/lineart --triton -", 2, "--triton"),
    ("export runs/faces -o f.onnx --direction A2B", 2, "--direction"),
    ("export runs/faces -o f.onnx --verify photos", 2, "--verify"),
    ("export runs/faces -o f.onnx --direction both", 2, "--direction"),
    ("export runs/faces -o f.onnx --io image", 2, "--io image"),
    ("export runs/lineart -o f.onnx --direction both", 2, "B2A"),
    ("export runs/horses -o f.onnx", 2, "--direction"),
    ("export runs/lineart", 2, "-o"),
    ("export runs/things -o f.onnx", 2, "thing"),
    ("export runs/clothes -o f.onnx --label Bag", 2, "--label"),
    ("export runs/lineart -o f.onnx --triton models", 2, "--triton"),
    ("export runs/horses --triton models --direction both", 2, "A2B"),
    ("export runs/lineart -o f.onnx --size 300", 2, "300"),
    ("export runs/lineart -o f.onnx --size 70000x16", 2, "9999"),
    ("export runs/lineart -o f.onnx --size 32x40", 2, "32x48"),
    ("serve", 2, "MODEL"),
    ("serve none.onnx --port 0", 1, "none.onnx"),
    ("serve runs/ring --port 0", 1, "points"),
    ("serve runs/lineart runs/lineart --port 0", 2, "runs/lineart"),
    ("serve model.onnx --host 0.0.0.0", 2, "--token-file"),
    ("serve model.onnx --token-file none.txt", 2, "none.txt"),
    ("serve model.onnx --token-file short.txt", 2, "token"),
    (f"export runs/lineart -o f.pth --format {PROJECT} --precision fp16", 2, "--precision"),
]
MISTAKES = [
    *((f"train {words}", code, name) for words, code, name in TRAIN),
    *((f"train pix2pix --data D --set {words}", 2, name) for words, name in SET),
    *USE,
]


def test_every_mistake_ends_in_one_message(desk, capsys, pytestconfig):
    """And leaves no file behind."""
    save(desk / "old.png", 8, 8)
    save(desk / "old" / "000005.png", 8, 8)
    np.save(desk / "old.npy", np.zeros((2, 3), np.float32))
    (desk / "short.txt").write_text("secret", encoding="utf-8")
    (desk / "empty").mkdir()
    before = sorted(desk.rglob("*"))
    wrong, shown = [], []
    for line, code, name in MISTAKES:
        found, text = call(*shlex.split(line)), _WAITING.sub("", capsys.readouterr().err)
        one = text.startswith(("Error: ", "Usage: ")) and "Traceback" not in text and len(text.splitlines()) <= 5
        if found != code or name not in text or not one or sorted(desk.rglob("*")) != before:
            wrong.append(f"i2i {line}: not {code} and {name}, but {found}: {text}")
        shown.append(f"$ i2i {line}\nexit code {found}\n{text[text.find('Error: ') :]}")  # without click's usage line
    assert not wrong, "\n".join(wrong)
    compare("\n".join(shown).replace(f"{desk}{os.sep}", "").replace(f"{ROOT}{os.sep}", ""), pytestconfig)


def compare(text, pytestconfig):
    """Compare with the file of whole texts, or write it."""
    if pytestconfig.getoption("--update-golden"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "Read the new messages, then run this with --update-golden."
