"""Clips: frames in order, each made from the one before it, in training, in use and in exported files."""

import shutil

import numpy as np
import pytest
import torch

import i2i
from i2i.algorithms import resolve
from i2i.data.folders import find_pairs, spread
from i2i.data.sets import make_set
from i2i.errors import ConfigError, DataError, UsageError
from i2i.evaluation.labelled import Labelled
from i2i.evaluation.pairs import SHEET_ROWS, evaluate_pairs
from i2i.images import from_unit, read_image, write_image
from i2i.images.video import frames, survey
from i2i.report.sheets import sheet_png
from i2i.runtime import clip
from i2i.runtime.translator import Translator
from tests.conftest import ROOT, load_script, make_algorithm, run_i2i

TINY = [
    *("data.crop_px=16", "data.clip_frames=3", "generator.width=4", "generator.depth=2", "discriminator.width=2"),
    *("discriminator.layers=1", "train.device=cpu", "train.batch=2", "schedule.images=8", "schedule.decay_images=4"),
    *("log.checkpoint_every_images=4", "log.samples_every_images=4", "log.sample_count=4"),
]


def shown(number, side=20):
    """Frame number `number` of all clips, counted on: noise of its own, and its number in the first pixels."""
    image = np.random.default_rng(number).integers(0, 256, (side, side, 3)).astype(np.uint8)
    image[:, :, 0] = 10 * number
    return image


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips of six and four frames, whose first channel counts them: 0, 10, ... and 60, 70, ..."""
    root = tmp_path_factory.mktemp("clips")
    for split in ("train", "val"):
        for number in range(10):
            name = f"{'one' if number < 6 else 'two'}/{number:02}.png"
            write_image(root / f"{split}A" / name, shown(number))
            write_image(root / f"{split}B" / name, 255 - shown(number))
    return root


def config(clips, *more):
    return i2i.load_config("clips", [f"data.path={clips}", *TINY, *more])


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    i2i.train(config(clips), out)
    return out


@pytest.fixture(scope="module")
def in_order(run, clips):
    """What the model makes of each frame, by its number."""
    translator, made = Translator.open(run).in_order(), []
    for number in range(10):
        translator.begin(number < 6)
        made.append(translator.translate(shown(number)))
    return made


def test_training_shows_frames_in_order_of_one_clip(clips):
    data = make_set("paired", config(clips, "data.flip=false"))
    seen = data.load(range(20)).batch
    for a, b in zip(seen["a"], seen["b"], strict=True):
        assert a.shape == b.shape == (9, 16, 16)
        counted = ((a[::3, 0, 0] + 1) * 12.75).round().int().tolist()
        assert counted == list(range(counted[0], counted[0] + 3))
        assert (counted[0] < 6) == (counted[-1] < 6)
        assert torch.allclose(a, -b, atol=1e-6)  # the same crop of all
    again = make_set("paired", config(clips, "data.flip=false")).load([13]).batch
    assert torch.equal(again["a"][0], seen["a"][13])
    assert {int(((one[0, 0, 0] + 1) * 12.75).round()) for one in seen["a"]} == {0, 1, 2, 3, 6, 7}


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        (["data.clip_frames=5"], DataError, "two with 4"),
        (["data.clip_frames=1"], ConfigError, "clip_frames.*vid2vid"),
        (["data.colour_jitter=0.5"], ConfigError, "colour_jitter"),
        (["algorithm=pix2pix", "loss={}"], ConfigError, "clip_frames.*pix2pix"),
    ],
    ids=str,
)
def test_what_is_no_clip_is_refused(clips, changes, error, named):
    with pytest.raises(error, match=named):
        make_algorithm(resolve(config(clips, *changes)))


def test_names_that_count_in_another_order_are_refused(run, tmp_path):
    for side in "AB":
        for number in (9, 10, 11):
            write_image(tmp_path / f"train{side}" / f"{number}.png", shown(number))
    with pytest.raises(DataError, match="counts before"):
        make_set("paired", config(tmp_path))
    with pytest.raises(DataError, match="counts before"):
        i2i.translate_files(tmp_path / "trainA", tmp_path / "out", run)


def test_the_runtime_makes_what_training_made(run, in_order):
    """The control: frames one by one, each as if it was the first, are others from the second on."""
    algorithm = make_algorithm(config(run.parent, f"data.path={i2i.load_config(run / 'config.yaml').data.path[0]}"))
    translator = Translator.open(run)
    algorithm.networks["generator"] = translator.backend.network
    stack = torch.from_numpy(np.concatenate([shown(one) for one in range(3)], axis=2).transpose(2, 0, 1).copy())
    batch = {side: stack[None].float() / 127.5 - 1 for side in "ab"}
    with torch.no_grad():
        made = algorithm.forward(batch)["fake"][0].numpy()
    for number in range(3):
        expected = from_unit(made[3 * number : 3 * number + 3]).astype(int)
        assert np.abs(expected - in_order[number]).max() <= 1
        alone = translator.translate(shown(number)).astype(int)
        assert (np.abs(expected - alone).max() > 1) == (number > 0)


def test_folders_are_clips(run, clips, in_order, tmp_path):
    result = i2i.translate_files(clips / "trainA", tmp_path / "out", run)
    assert result.written == 10
    for number in range(10):
        made = read_image(tmp_path / "out" / ("one" if number < 6 else "two") / f"{number:02}.png")
        assert np.array_equal(made, in_order[number])
    (tmp_path / "out" / "one" / "03.png").unlink()
    with pytest.raises(UsageError, match="skip"):
        i2i.translate_files(clips / "trainA", tmp_path / "out", run, skip_existing=True)
    for share in (["--shard", "1/2"], ["--ray", "auto"]):
        done = run_i2i("translate", clips / "trainA", "-m", run, "-o", tmp_path / "o", *share)
        assert (done.returncode, "written" in done.stderr) == (2, False)


def test_a_video_goes_on_where_it_was(run, clips, in_order, tmp_path, monkeypatch):
    folder, output = clips / "trainA" / "one", tmp_path / "out.mkv"
    words = ["translate", folder, "-m", run, "-o", output, "--quality", "lossless"]
    made, translate = [], Translator.translate
    monkeypatch.setattr(clip, "SEGMENT_FRAMES", 2)

    def stopped(*arguments):
        made.append(1)
        if len(made) == 4:
            raise KeyboardInterrupt
        return translate(*arguments)

    monkeypatch.setattr(Translator, "translate", stopped)
    assert run_i2i(*words).returncode == 130
    assert run_i2i(*words).returncode == 0
    assert len(made) == 7  # the stopped one twice
    again = list(frames(survey(output, 10**8)[0]))
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(again, in_order[:6], strict=True)) <= 8


def test_scores_are_of_frames_in_order(run, clips, in_order):
    truths = [255 - shown(number).astype(float) for number in range(10)]
    expected = np.mean([np.abs(one - truth).mean() for one, truth in zip(in_order, truths, strict=True)])
    found = i2i.evaluate(run, clips, split="val", metrics=["l1"])
    assert found.model["l1"] == pytest.approx(expected, abs=1e-4)
    labelled = Labelled.open(run, [])
    assert np.array_equal(labelled.of("one/0.png").translate(shown(0)), in_order[0])


def test_sheets_show_frames_that_follow_from_those_before(run, clips, in_order):
    """The control is each frame as the first of its clip, as which the second row differs."""
    found = evaluate_pairs(run, str(clips), "val", metrics=["l1"], sheet=True, worst=True)
    pairs = find_pairs([str(clips)], "val")
    rows = [[shown(number), in_order[number], 255 - shown(number)] for number in range(10)]
    assert [pair.name[-2:] for pair in pairs] == [f"{number:02}" for number in range(10)]
    titles = ["input", "output", "truth"]
    chosen = spread(range(10), SHEET_ROWS)
    assert found.sheet == sheet_png([rows[place] for place in chosen], titles)
    off = [np.abs(row[1].astype(float) - row[2]).mean() for row in rows]
    worst = np.argsort(off, kind="stable")[::-1]
    assert found.worst == sheet_png([rows[place] for place in worst], titles)
    alone = Translator.open(run).in_order().translate(shown(1))
    assert not np.array_equal(alone, in_order[1])


def test_an_exported_file_makes_the_same(run, in_order, tmp_path):
    with pytest.raises(UsageError, match="Leave out"):
        i2i.export(run, tmp_path / "m.onnx", io="image")
    proof = i2i.export(run, tmp_path / "m.onnx").spec.proof
    assert proof.max_difference < 1e-4
    translator = Translator.open(tmp_path / "m.onnx").in_order()
    for number in range(3):
        assert np.abs(translator.translate(shown(number)).astype(int) - in_order[number]).max() <= 1
    assert translator.generator.network_channels == 9


def test_resuming_equals_never_having_stopped(run, clips, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "000000008.pt").unlink()
    i2i.train(config(clips), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_the_warping_error_knows_the_shifts():
    """Of a canvas that moves as told there is none; the control is told other shifts."""
    bench = load_script(ROOT / "tools" / "bench" / "clips.py")
    pictures = [shown(number, 64) for number in range(5)]
    clip = bench.make_clip(pictures, 4, np.random.default_rng(0), pan=False)
    assert bench.warping_error(clip.clean, clip.shifts) == 0
    assert bench.warping_error(clip.clean, [(down, right + 1) for down, right in clip.shifts]) > 10


@pytest.mark.slow
def test_frames_follow_from_one_another(tmp_path):
    """The control has learned as many frames one by one; docs/benchmarks.md has both after longer trainings."""
    found = load_script(ROOT / "tools" / "bench" / "clips.py").compare(tmp_path, 1000, 0, pan=True)
    together, alone = found["recurrent"], found["frame by frame"]
    assert together.warping < alone.warping
    assert together.l1 < 1.25 * alone.l1
    assert together.l1 < found["inputs"].l1 / 3
