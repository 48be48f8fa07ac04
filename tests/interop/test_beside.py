"""Discriminators and heads that lie beside another project's generator: the same functions, to go on training."""

import copy
import itertools
import re

import pytest
import torch
from torch import nn

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.errors import ModelError
from i2i.interop.beside import find_beside, load_beside
from i2i.networks import PatchGAN
from i2i.networks.layers import has_spectral_norm
from i2i.networks.patch_heads import PatchHeads
from i2i.training.finetune import init_from
from tests.conftest import smallest_config
from tests.interop.test_pytorch_cyclegan_pix2pix import Lowpass, Named, layer, reference


def their_discriminator(layers, norm, antialiased, width=2, inputs=3):
    """Written from Isola et al. 2017, section 6.1.2 and the names in their files; no bias before a norm that shifts."""
    torch.manual_seed(0)
    bias, stride = norm == "instance", 1 if antialiased else 2
    filters = [Lowpass(width * min(2**level, 8), [1.0, 2.0, 1.0], False) for level in range(layers)]
    parts = [nn.Conv2d(inputs, width, 4, stride, 1), nn.LeakyReLU(0.2), *(filters[:1] if antialiased else [])]
    for level in range(1, layers + 1):
        before, after = (width * min(2**one, 8) for one in (level - 1, level))
        last = level == layers
        parts += [nn.Conv2d(before, after, 4, 1 if last else stride, 1, bias=bias), layer(norm, after)]
        parts += [nn.LeakyReLU(0.2), *([filters[level]] if antialiased and not last else [])]
    network = Named(nn.Sequential(*parts, nn.Conv2d(width * min(2**layers, 8), 1, 4, 1, 1)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight, gain=2)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.3)
    return network


def their_heads(channels, width=8):
    heads = nn.Module()
    for number, count in enumerate(channels):
        setattr(heads, f"mlp_{number}", nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)))
    return heads


def save(network, path):
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("layers", "norm", "antialiased"), list(itertools.product([1, 3], ["batch", "instance", "none"], [False, True]))
)
def test_every_discriminator_of_theirs_judges_alike(layers, norm, antialiased, tmp_path):
    network = their_discriminator(layers, norm, antialiased).eval()
    save(network, tmp_path / "latest_net_D.pth")
    downsample = "blur" if antialiased else "strided"
    ours = PatchGAN(3, layers, 2, norm, downsample=downsample)
    lines = load_beside(tmp_path / "latest_net_G.pth", {"discriminator": ours})
    assert "latest_net_D.pth" in lines["discriminator"]
    x = torch.rand(2, 3, 48, 56) * 2 - 1
    with torch.no_grad():
        wanted, found = network(x), ours.eval()(x).logits
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def their_scales(layers, scales, norm, in_groups, width=2, inputs=6):
    """Written from Wang et al. 2018, section 3.2, and the names in pix2pixHD's files: numbered from the coarsest."""
    kind = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}[norm]
    network = nn.Module()
    network.scales = []
    for number in range(scales):
        counts = [inputs, *(width * min(2**level, 8) for level in range(layers + 1)), 1]
        groups = []
        for level, (before, after) in enumerate(itertools.pairwise(counts)):
            group = [nn.Conv2d(before, after, 4, 2 if level < layers else 1, 2)]
            group += [kind(after)] if 0 < level <= layers else []
            groups.append(nn.Sequential(*group, *([nn.LeakyReLU(0.2)] if level <= layers else [])))
        network.scales.append(groups)
        if in_groups:
            for level, group in enumerate(groups):
                setattr(network, f"scale{number}_layer{level}", group)
        else:
            setattr(network, f"layer{number}", nn.Sequential(*itertools.chain(*groups)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight, gain=2)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.3)
    return network


@pytest.mark.parametrize(
    ("layers", "scales", "norm", "in_groups"),
    [(3, 2, "instance", True), (3, 2, "batch", True), (1, 3, "instance", False), (2, 1, "batch", False)],
)
def test_discriminators_of_pix2pixhd_judge_alike_at_every_scale(layers, scales, norm, in_groups, tmp_path):
    torch.manual_seed(0)
    network = their_scales(layers, scales, norm, in_groups).eval()
    save(network, tmp_path / "latest_net_D.pth")
    ours = PatchGAN(6, layers, 2, norm, scales=scales, padding=2).eval()
    lines = load_beside(tmp_path / "latest_net_G.pth", {"discriminator": ours})
    assert re.search(r"(\d+) of \1 tensors", lines["discriminator"])
    x = image = torch.rand(2, 6, 96, 104) * 2 - 1
    with torch.no_grad():
        found = ours(x).scales
        assert len(found) == scales
        for groups, logits in zip(reversed(network.scales), found, strict=True):
            wanted = nn.Sequential(*groups)(image)
            assert wanted.std() > 1e-3
            torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)
            image = nn.functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    for other in (
        PatchGAN(6, layers, 2, norm, scales=scales),
        PatchGAN(6, layers, 2, norm, scales=scales % 3 + 1, padding=2),
    ):
        before = copy.deepcopy(other.state_dict())
        (line,) = load_beside(tmp_path / "latest_net_G.pth", {"discriminator": other}).values()
        assert "starts fresh" in line
        torch.testing.assert_close(other.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("network", [PatchGAN(3, 1, 2, "none", scales=2, condition=3), nn.Linear(2, 2)])
def test_a_network_that_they_lack_starts_fresh(network, tmp_path):
    save(their_discriminator(1, "none", False), tmp_path / "latest_net_D.pth")
    (line,) = load_beside(tmp_path / "latest_net_G.pth", {"discriminator": network}).values()
    assert "starts fresh" in line


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("given", ["A", "B"])
def test_a_checkpoint_of_cyclegan_is_taken_whole(given, turned, tmp_path):
    """Their letters go by the generator: D_A judges what G_A makes, which is B, or A if trained with BtoA."""
    for place, letter in enumerate("AB"):
        torch.manual_seed(place)
        save(reference("resnet_6blocks", "instance", inputs=3, outputs=3), tmp_path / f"latest_net_G_{letter}.pth")
        judge = their_discriminator(3, "instance", False)
        nn.init.constant_(judge.model[0].bias, place + 1)
        save(judge, tmp_path / f"latest_net_D_{letter}.pth")
    if turned:
        (tmp_path / "train_opt.txt").write_text("direction: BtoA\n", encoding="utf-8")
    settings = ["generator.width=2", "generator.blocks=6", "generator.norm=instance", "generator.upsample=transpose"]
    settings += ["discriminator.layers=3", "discriminator.width=2", "discriminator.norm=instance"]
    settings += ["data.crop_px=32", "data.resize_px=36"]
    algorithm = ALGORITHMS["cyclegan"](smallest_config("cyclegan", ".", *settings))
    lines = init_from(algorithm, str(tmp_path / f"latest_net_G_{given}.pth"))
    assert len(lines) == 4
    assert all(re.search(r"(\d+) of \1 tensors", line) for line in lines)
    letters = {"A2B": "B", "B2A": "A"} if turned else {"A2B": "A", "B2A": "B"}
    for direction, letter in letters.items():
        own, judge = (algorithm.networks[name].state_dict() for name in (f"G_{direction}", f"D_{direction[-1]}"))
        theirs = torch.load(tmp_path / f"latest_net_G_{letter}.pth", weights_only=True)
        assert torch.equal(own["stem.1.weight"], theirs["model.1.weight"])
        assert judge["layers.0.0.bias"].tolist() == [" AB".index(letter)] * 2


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("spectral", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
@pytest.mark.filterwarnings("ignore")  # torch deprecates the old one
def test_spectral_norm_is_kept_or_folded(spectral, kept, tmp_path):
    """Kept, it goes on from their estimate of the norm, in training as theirs does; torch's old one steps otherwise."""
    network = their_discriminator(2, "none", False)
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            spectral(module)
            module.train()(torch.rand(1, module.in_channels, 8, 8))
    save(network, tmp_path / "latest_net_D.pth")
    ours = PatchGAN(3, 2, 2, "none", spectral_norm=kept)
    load_beside(tmp_path / "latest_net_G.pth", {"discriminator": ours})
    assert has_spectral_norm(ours) == kept
    x = torch.rand(2, 3, 48, 48) * 2 - 1
    new = spectral is nn.utils.parametrizations.spectral_norm
    for mode in (False, True) if kept and new else (False,):
        with torch.no_grad():
            wanted, found = network.train(mode)(x), ours.train(mode)(x).logits
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert wanted.std() > 1e-3


def test_the_heads_of_cut_give_their_vectors(tmp_path):
    channels, width = [3, 4, 8, 8], 8
    network, ours = their_heads(channels, width), PatchHeads(channels, width)
    save(network, tmp_path / "latest_net_F.pth")
    load_beside(tmp_path / "latest_net_G.pth", {"heads": ours})
    features = [torch.rand(2, count, 5, 5) for count in channels]
    places = [torch.tensor([[0, 7, 24], [3, 3, 1]])] * 4
    for number, (found, feature) in enumerate(zip(ours(features, places), features, strict=True)):
        rows = torch.stack([feature[n].flatten(1).T[places[number][n]] for n in range(2)])
        vectors = getattr(network, f"mlp_{number}")(rows)
        torch.testing.assert_close(found, vectors / vectors.norm(dim=2, keepdim=True), rtol=0, atol=1e-5)


def cut(*overrides):
    settings = ["generator.width=2", "generator.blocks=6", "generator.norm=instance", "discriminator.layers=3"]
    settings += ["discriminator.width=2", "discriminator.norm=instance", "loss.head_width=8"]
    settings += ["loss.layers=[input, down.0, down.1, blocks.0, blocks.4]", "generator.upsample=resize"]
    settings += ["generator.downsample=blur", "data.crop_px=32", "data.resize_px=36"]
    settings += ["discriminator.spectral_norm=false"]
    return ALGORITHMS["cut"](smallest_config("cut", ".", *settings, *overrides))


@pytest.fixture
def checkpoint(tmp_path):
    """A folder as contrastive-unpaired-translation leaves it."""
    generator = reference("resnet_6blocks", "instance", inputs=3, outputs=3, down=True, up=True)
    save(generator, tmp_path / "latest_net_G.pth")
    save(their_discriminator(3, "instance", True), tmp_path / "latest_net_D.pth")
    save(their_heads([3, 4, 8, 8, 8]), tmp_path / "latest_net_F.pth")
    return tmp_path


def test_a_checkpoint_of_cut_is_taken_whole(checkpoint, few_pairs):
    algorithm = cut("discriminator.downsample=blur")
    lines = init_from(algorithm, str(checkpoint / "latest_net_G.pth"))
    assert len(lines) == 3  # nothing is fresh
    for line in lines:
        (count, total, letter) = re.search(r": (\d+) of (\d+) tensors from .*latest_net_(.)\.pth", line).groups()
        assert count == total
        assert letter in "GDF"
    heads = torch.load(checkpoint / "latest_net_F.pth", weights_only=True)
    assert torch.equal(algorithm.networks["heads"].state_dict()["heads.4.2.weight"], heads["mlp_4.2.weight"])


def test_what_does_not_fit_starts_fresh_with_the_reason(checkpoint):
    lines = init_from(cut("loss.head_width=4"), str(checkpoint / "latest_net_G.pth"))
    assert any(re.search(r"discriminator: starts fresh.*latest_net_D\.pth", line) for line in lines)
    assert any(re.search(r"heads: starts fresh.*latest_net_F\.pth", line) for line in lines)
    assert not any("pytorch-CycleGAN-and-pix2pix" in line for line in lines)  # which has no heads
    lines = init_from(cut("discriminator.spectral_norm=true"), str(checkpoint / "latest_net_G.pth"))
    assert any(re.search(r"fresh.*latest_net_D\.pth.*discriminator\.spectral_norm", line) for line in lines)
    (checkpoint / "latest_net_F.pth").unlink()
    lines = init_from(cut("discriminator.downsample=blur"), str(checkpoint / "latest_net_G.pth"))
    assert re.search("Fresh .*: heads", lines[-1])


def test_a_training_goes_on_from_a_checkpoint_of_cut(checkpoint, few_pairs, tmp_path, capsys):
    config = cut("discriminator.downsample=blur").config
    data = config.data.model_copy(update={"path": (str(few_pairs),)})
    train = config.train.model_copy(update={"init_from": str(checkpoint / "latest_net_G.pth")})
    i2i.train(config.model_copy(update={"data": data, "train": train}), tmp_path / "run")
    said = capsys.readouterr().err
    for letter in "GDF":
        assert f"latest_net_{letter}.pth" in said


@pytest.mark.parametrize(
    ("generator", "beside"),
    [
        ("latest_net_G", "latest_net_D"),
        ("netG", "netD"),
        ("200_G", "200_D"),
        ("net_G_A", ""),
        ("RING", ""),
        ("gen", ""),
    ],
)
def test_files_beside_are_found_by_their_names(generator, beside, tmp_path):
    (tmp_path / f"{generator}.pth").touch()
    if beside:
        (tmp_path / f"{beside}.pth").touch()
    expected = tmp_path / f"{beside}.pth" if beside else None
    assert find_beside(tmp_path / f"{generator}.pth", "discriminator") == expected


def test_a_damaged_file_beside_is_named(checkpoint):
    (checkpoint / "latest_net_D.pth").write_bytes(b"PK")
    lines = init_from(cut("discriminator.downsample=blur"), str(checkpoint / "latest_net_G.pth"))
    assert any("latest_net_D.pth" in line and "fresh" in line for line in lines)
    with pytest.raises(ModelError):
        init_from(cut("generator.width=3", "discriminator.downsample=blur"), str(checkpoint / "latest_net_D.pth"))
