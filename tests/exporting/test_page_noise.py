"""The page of a model from noise: its numbers, pictures, walks, sums and children are those of i2i."""

import json

import numpy as np
import pytest

from i2i.breeding import LITTER, next_generation
from i2i.exporting import ExportOptions, page
from i2i.exporting.page import export_page
from i2i.exporting.page_models import of_block
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.models.spec import GENERATE, LatentBlock
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import seed_latents, walk
from i2i.runtime.styles import truncate
from tests.conftest import noise
from tests.exporting.conftest import image_of
from tests.report.test_browser import BROWSER

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")
KIND = LatentBlock(name="kind", size=4, prior="one_hot", classes=("Bag", "Coat", "Hat", "Shoe"))
BLOCKS = (
    KIND,
    LatentBlock(name="code", size=3, prior="uniform"),
    *noise(33),
    LatentBlock(name="rare", size=9, prior="one_hot", shares=(0.01, 0.3, 0.2, *[0.49 / 6] * 6)),
    LatentBlock(name="truncation", size=1, prior="constant", value=0.7),
    LatentBlock(name="text", size=5, prior="text", texts=("red fish", "blue bird", "a green tree")),
)
DRAWN = """
const blocks = JSON.parse(`{blocks}`), list = (rows) => rows.map((row) => [...row]);
const draw = (seed, given) => i2i.drawLatent(blocks, BigInt(seed), given);
"""
CELLS = """
async function cells(mode) {
  const found = [];
  for (const canvas of document.querySelectorAll(`#${mode} canvas`)) {
    const { width, height } = canvas;
    found.push(await pixels(canvas.getContext("2d").getImageData(0, 0, width, height)));
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def kinds(noise_model, tmp_path_factory):
    """A model of pictures with contrast whose last four numbers are a class."""
    spec = read_spec(noise_model)
    part = spec.parts[GENERATE].model_copy(update={"blocks": (*noise(12), KIND)})
    path = tmp_path_factory.mktemp("kinds") / "kinds.safetensors"
    network = load_generator(noise_model, spec, GENERATE)
    save_model(path, spec.model_copy(update={"parts": {GENERATE: part}}), {GENERATE: network})
    return path


def page_of(model, runtime, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "RUNTIME", runtime)
        export_page(model, ExportOptions(page=folder / "demo.html"))
    return (folder / "demo.html").read_text("utf-8")


@pytest.fixture(scope="module")
def kinds_page(runtime, kinds, tmp_path_factory):
    return page_of(kinds, runtime, tmp_path_factory.mktemp("page"))


def drawn():
    return DRAWN.replace("{blocks}", json.dumps([of_block(block) for block in BLOCKS]))


def test_numbers_are_those_of_numpy(browse, kinds_page):
    """Words, floats, whole numbers and normals of several seeds, and the latents of blocks of every prior."""
    seeds = [0, 1, 2**32 + 5, 2**70 + 3]
    act = f"""
    found.numbers = [{",".join(f"{seed}n" for seed in seeds)}].map((seed) => {{
      const random = new i2i.Random(seed), many = (count, draw) => Array.from({{ length: count }}, draw);
      const normals = many(1001, () => random.normal()), floats = many(3, () => random.double());
      return [...normals, ...floats, ...many(5, () => random.below(1000))];
    }});
    const random = new i2i.Random(11n);
    for (let k = 0; k < 275034; k++) random.normal(); // what comes next tells a rounded table from one cut off
    found.late = Array.from({{ length: 9 }}, () => random.normal());
    {drawn()}
    found.latents = list([0, 1, 2, 3, 4, 5, 6, 7].map((seed) => draw(seed, {{}})));
    found.given = [...draw(3, {{ kind: 2, text: 1, truncation: 0.25 }})];
    """
    found = browse(kinds_page, act)
    for seed, numbers in zip(seeds, found["numbers"], strict=True):
        random = np.random.default_rng(seed)
        expected = [*random.standard_normal(1001, np.float32), *random.random(3), *random.integers(1000, size=5)]
        np.testing.assert_array_equal(numbers, [float(one) for one in expected])
    late = np.random.default_rng(11).standard_normal(275043, np.float32)[-9:]
    np.testing.assert_array_equal(np.float32(found["late"]), late)
    np.testing.assert_array_equal(np.float32(found["latents"]), seed_latents(range(8), BLOCKS))
    truncated = tuple(one.model_copy(update={"value": 0.25}) if one.name == "truncation" else one for one in BLOCKS)
    np.testing.assert_array_equal(np.float32(found["given"]), seed_latents([3], truncated, {"kind": 2}, "blue bird")[0])


def test_walks_sums_and_children_are_those_of_i2i(browse, kinds_page):
    act = f"""
    {drawn()}
    const [a, b, c] = [draw(3), draw(8), draw(5)];
    found.walk = list([0, 1, 2, 3, 4].map((k) => i2i.between(blocks, a, b, k / 4)));
    found.sum = [...i2i.sum(a, b, c)];
    found.litters = [[a, b, c], [b], [a, c]].map((parents, k) =>
      list(i2i.nextGeneration(parents, blocks, new i2i.Random(7n, BigInt(k)), 0.3)));
    """
    found = browse(kinds_page, act)
    latents = seed_latents([3, 8, 5], BLOCKS)
    np.testing.assert_allclose(found["walk"], walk(latents[:2], BLOCKS, 4), atol=1e-6)
    np.testing.assert_array_equal(np.float32(found["sum"]), latents[0] - latents[1] + latents[2])
    for k, chosen in enumerate(([0, 1, 2], [1], [0, 2])):
        litter = next_generation(latents[chosen], BLOCKS, np.random.default_rng([7, k]), 0.3)
        np.testing.assert_array_equal(np.float32(found["litters"][k]), litter)


def test_pictures_are_those_of_generate(browse, kinds_page, kinds, tmp_path):
    """Of drawn and of chosen classes, to within a level; the control is another seed."""
    act = f"""
    {CELLS}
    const first = document.getElementById("first"), kind = document.querySelector("[data-block=kind]");
    first.value = "5";
    await i2i.show();
    found.any = await cells("samples");
    found.captions = [...document.querySelectorAll("#samples .cell span")].map((one) => one.textContent);
    kind.value = "2";
    await i2i.show();
    found.hats = await cells("samples");
    first.value = "-3";
    await i2i.show();
    """
    found = browse(kinds_page, act)
    generator = ImageGenerator.open(kinds, "cpu")
    for name, labels in (("any", ()), ("hats", ("Hat",))):
        made = np.stack([image_of(one, tmp_path / "made.png")[:, :, :3] for one in found[name]]).astype(int)
        expected = np.stack(generator.pictures(generator.draw(range(5, 5 + len(made)), labels)))
        assert np.abs(made - expected).max() <= 1
        assert np.abs(made[1:] - expected[:-1]).max() > 30
    classes = [KIND.classes[row[12:].argmax()] for row in generator.draw(range(5, 17))]
    assert found["captions"] == [f"{5 + k} {name}" for k, name in enumerate(classes)]
    assert "-3" in found["trouble"]


def test_sliders_walks_and_breeding_change_the_picture(browse, kinds_page, kinds, tmp_path):
    act = f"""
    {CELLS}
    const settled = () => new Promise((resume) => setTimeout(resume, 300));
    document.querySelectorAll("#samples .cell")[2].click();
    await i2i.choose("change");
    found.drawn = await cells("change");
    const knob = document.querySelectorAll("#knobs input")[1];
    knob.value = "3";
    knob.dispatchEvent(new Event("input"));
    await settled();
    found.turned = await cells("change");
    await i2i.choose("walk");
    const way = document.getElementById("way");
    way.value = "0.25";
    way.dispatchEvent(new Event("input"));
    await settled();
    [found.quarter] = await cells("walk");
    await i2i.choose("breed");
    found.first = await cells("breed");
    found.idle = document.getElementById("next").disabled;
    for (const k of [1, 4]) document.querySelectorAll("#breed .cell")[k].click();
    document.getElementById("next").click();
    while (!document.getElementById("generation").textContent.includes("2")) await settled();
    await settled();
    found.second = await cells("breed");
    """
    found = browse(kinds_page, act)
    assert (found["trouble"], found["idle"]) == ("", True)
    generator = ImageGenerator.open(kinds, "cpu")
    blocks = generator.generator.blocks

    def near(shown, latents):
        made = np.stack([image_of(one, tmp_path / "made.png")[:, :, :3] for one in shown]).astype(int)
        return np.abs(made - np.stack(generator.pictures(latents))).max() <= 1

    latents = generator.draw([2])
    assert near(found["drawn"], latents)
    latents[0, 1] = 3
    assert near(found["turned"], latents)
    assert near([found["quarter"]], walk(generator.draw([0, 1]), blocks, 4)[1:2])
    litter = generator.draw(range(LITTER))
    assert near(found["first"], litter)
    litter = next_generation(litter[[1, 4]], blocks, np.random.default_rng([0, 1]), 0.3)
    assert near(found["second"], litter)
    assert not near(found["first"], litter)


@pytest.mark.slow
def test_maps_of_latents_come_at_the_size_of_training(browse, runtime, cppn_model, texture_model, tmp_path):
    for model in (cppn_model, texture_model):
        folder = tmp_path / model.parent.name
        folder.mkdir()
        act = f"{CELLS} await i2i.show(); found.made = await cells('samples');"
        found = browse(page_of(model, runtime, folder), act)
        generator = ImageGenerator.open(model, "cpu")
        expected = generator.pictures(generator.draw(range(len(found["made"]))))
        for one, other in zip(found["made"], expected, strict=True):
            made = image_of(one, tmp_path / "made.png")[:, :, : other.shape[2]].astype(int)
            assert np.abs(made - other).max() <= 1


@pytest.mark.slow
def test_styles_are_truncated_by_a_slider(browse, runtime, style_model, tmp_path):
    act = f"""
    {CELLS}
    const slider = document.querySelector("[data-block=truncation]");
    found.whole = slider.value;
    slider.value = "0.3";
    await i2i.show();
    found.made = await cells("samples");
    """
    found = browse(page_of(style_model, runtime, tmp_path), act)
    assert found["whole"] == "1"
    generator = ImageGenerator.open(style_model, "cpu")
    latents = generator.draw(range(len(found["made"])))
    made = np.stack([image_of(one, tmp_path / "made.png") for one in found["made"]]).astype(int)
    expected = np.stack(generator.pictures(truncate(latents, generator.generator.blocks, 0.3)))
    assert np.abs(made[..., : expected.shape[-1]] - expected).max() <= 1
    assert np.abs(made[..., : expected.shape[-1]] - np.stack(generator.pictures(latents))).max() > 1
